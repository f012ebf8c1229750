// Ctrl+Up and Ctrl+Down change the weight of the selected words, or of the word at the cursor, by 0.1.

const STEP = 0.1;
const WEIGHTED = /^([\s\S]*):([+-]?[.\d]+)$/;

export function changeWeight(event, area) {
  if (!(event.ctrlKey || event.metaKey) || !["ArrowUp", "ArrowDown"].includes(event.key) || area.readOnly) return;
  const change = event.key === "ArrowUp" ? STEP : -STEP;
  const made = weighted(area.value, area.selectionStart, area.selectionEnd, change);
  if (!made) return;
  event.preventDefault();
  area.setRangeText(made.text, made.start, made.end, "preserve");
  area.setSelectionRange(made.from, made.to);
  area.dispatchEvent(new Event("input", { bubbles: true }));
}

/** What replaces `start` to `end` of the text, and the selection then; null where there is no word. */
export function weighted(text, from, to, change) {
  const bracket = around(text, from, to);
  if (bracket) {
    const [, words, number] = WEIGHTED.exec(text.slice(bracket.start + 1, bracket.end - 1));
    const weight = rounded(Number(number) + change);
    const made = weight === "1" ? words : `(${words}:${weight})`;
    const first = bracket.start + (weight === "1" ? 0 : 1);
    return { text: made, start: bracket.start, end: bracket.end, from: first, to: first + words.length };
  }
  [from, to] = trimmed(text, ...(from === to ? wordAt(text, from) : [from, to]));
  if (from === to) return null;
  return { text: `(${text.slice(from, to)}:${rounded(1 + change)})`, start: from, end: to, from: from + 1, to: to + 1 };
}

/** The innermost (words:1.2) that holds the selection, or null. */
function around(text, from, to) {
  let depth = 0;
  for (let start = from - 1; start >= 0; start -= 1) {
    if (text[start] === ")" && text[start - 1] !== "\\") depth += 1;
    else if (text[start] === "(" && text[start - 1] !== "\\" && depth-- === 0) {
      const end = closing(text, start);
      return end >= to && WEIGHTED.test(text.slice(start + 1, end - 1)) ? { start, end } : null;
    }
  }
  return null;
}

function closing(text, start) {
  let depth = 0;
  for (let at = start; at < text.length; at += 1) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === "(") depth += 1;
    else if (text[at] === ")" && --depth === 0) return at + 1;
  }
  return -1;
}

function wordAt(text, at) {
  const before = /[\p{L}\p{N}_'-]*$/u.exec(text.slice(0, at))[0].length;
  const after = /^[\p{L}\p{N}_'-]*/u.exec(text.slice(at))[0].length;
  return [at - before, at + after];
}

function trimmed(text, from, to) {
  const chosen = text.slice(from, to);
  const start = from + chosen.length - chosen.trimStart().length;
  return [start, Math.max(start, from + chosen.trimEnd().length)];
}

function rounded(weight) {
  return String(Number(Math.max(weight, 0).toFixed(2)));
}
