// Which tab of the page is open: the address's part after "#" names it, so back, forward, reload and links work by themselves.

import { pageTitle } from "./page_title.js";

class Tabs extends EventTarget {
  constructor() {
    super();
    this.list = []; // { name, title, group, address, page: id of the element that shows it, mode: of a workbench }
    this.open = null;
    this.scrolled = new Map(); // page -> how far down it was when it was left
    this.style = document.createElement("style");
  }

  start(list) {
    this.list = list;
    document.head.append(this.style);
    addEventListener("hashchange", () => this.read());
    this.read();
  }

  read() {
    const [address] = decodeURIComponent(location.hash.slice(1)).split("?"); // what follows is for the tab to read
    const found = this.list.find((tab) => tab.address === address);
    this.show(found ?? (address ? this.open : null) ?? this.list[0]);
  }

  show(tab) {
    const before = this.open;
    if (!tab || tab === before) return;
    if (before) this.scrolled.set(before.page, scrollY);
    this.open = tab;
    pageTitle.name(tab.title);
    document.documentElement.dataset.tab = tab.name;
    if (tab.page !== before?.page) {
      // A rule instead of attributes: it also holds for a page that Gradio draws later.
      this.style.textContent = `.page.page:not(#${tab.page}) { display: none !important; }`;
      scrollTo(0, this.scrolled.get(tab.page) ?? 0);
    }
    this.dispatchEvent(new CustomEvent("open", { detail: tab }));
  }

  /** `listener` gets the open tab at once, and each that is opened later. */
  on(listener) {
    this.addEventListener("open", ({ detail }) => listener(detail));
    if (this.open) listener(this.open);
  }

  /** `act` is called once, when the tab of that name is opened for the first time. */
  first(name, act) {
    let opened = false;
    this.on((tab) => {
      if (opened || tab.name !== name) return;
      opened = true;
      act();
    });
  }
}

export const tabs = new Tabs();
