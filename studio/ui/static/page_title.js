// The title of the page: the open tab's name, and before it in a word what a run of this page has come to.

let tab = "";
let word = "";

function write() {
  document.title = [word, tab, "Unnoise"].filter(Boolean).join(" · ");
}

export const pageTitle = {
  name(title) {
    tab = title;
    write();
  },
  /** "Running", "Done", ...; nothing takes the word away. */
  mark(state) {
    if (state === word) return;
    word = state;
    write();
  },
};
