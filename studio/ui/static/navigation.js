// The names of all tabs, in groups. What of it is shown where is up to the styles: on a wide window all names, on a phone the
// groups in a bar at the bottom and above the page the names of the open one.

import { make } from "./workbench.js";
import { icon } from "./icons.js";
import { tabs } from "./tabs.js";

/** `groups` are [name, title] in their order; a group without tabs is not drawn. */
export function navigation(groups, list) {
  const drawn = groups.map(([name, title]) => group(name, title, list.filter((tab) => tab.group === name)));
  const root = make("nav", { class: "navigation", "aria-label": "Tabs" }, make("ul", { class: "groups" }, ...drawn.filter(Boolean)));
  tabs.on((open) => {
    for (const each of root.querySelectorAll("[data-tab]")) mark(each, each.dataset.tab === open.name);
    for (const item of root.querySelectorAll(".group")) {
      const current = item.dataset.group === open.group;
      item.toggleAttribute("data-current", current);
      const groupLink = item.querySelector(".group-link");
      if (current) groupLink.href = link(open); // back to where one was in it
      mark(groupLink, current);
    }
  });
  return root;
}

function group(name, title, list) {
  if (!list.length) return null;
  const links = list.map((tab) => make("li", {}, make("a", { class: "tab-link", href: link(tab), "data-tab": tab.name, "data-title": tab.title, text: tab.title })));
  const own = list.length === 1 ? list[0].title : title;
  const groupLink = make("a", { class: "group-link", href: link(list[0]) }, icon(name), make("span", { text: own }));
  return make("li", { class: "group", "data-group": name, "data-tabs": list.length }, groupLink, make("ul", { class: "tab-links", "aria-label": title }, ...links));
}

/** Of this very page: Gradio's <base> would drop the query, and load the page anew. */
function link({ address }) {
  return `${location.pathname}${location.search}#${address}`;
}

function mark(link, current) {
  if (current) link.setAttribute("aria-current", "page");
  else link.removeAttribute("aria-current");
}
