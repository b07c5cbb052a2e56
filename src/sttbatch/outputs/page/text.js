"use strict";

// The elements of the page, by their ids.
const $ = id => document.getElementById(id);
const read = id => JSON.parse($(id).textContent);

// What `-f json` writes, and what the page knows beside it: rows, their cues, and its own words.
const transcript = read("transcript");
const page = read("page");
const say = (name, ...values) => values.reduce((text, value, i) => text.replace(`{${i}}`, () => value), page.strings[name]);

const player = $("player");
const text = $("text");
const SEEK_S = 5;
const WORD_STAYS_S = 0.3;
const PARAGRAPH_PAUSE_S = 2;
const PARAGRAPH_LENGTH = 600;
const PARAGRAPH_S = 60;
const BLOCK_PARAGRAPHS = 16;
const LINE_LENGTH = 75;

const storage = {
  get(key) {
    try { return JSON.parse(localStorage.getItem(key)); } catch { return null; }
  },
  set(key, value) {
    try { localStorage.setItem(key, JSON.stringify(value)); return true; } catch { return false; }
  },
};

// Corrections are those of one text of one recording, whatever the page is called. Each has the time
// and the text that it corrects, so that it stays with them when the page is written again.
const STORED = ["sttbatch", transcript.sha256, transcript.model, transcript.language].join(" ");
const corrections = storage.get(STORED) ?? {};

// A row is a segment, or a note about a missing part. `text` is what is shown, corrected or not.
const rows = page.rows.map(({ segment, note, start, end, cues }, number) => {
  if (note !== undefined) {
    const shown = note.replace(/^\[not transcribed/, say("missing")).replace(/\]$/, "");
    return { number, note, start, end, cues, text: shown, original: shown };
  }
  const said = transcript.segments[segment];
  const { speaker, words: spoken = [] } = said;
  const text = corrections[`${said.start} ${said.text}`] ?? said.text;
  return { number, segment, start: said.start, end: said.end, speaker, spoken, cues, text, original: said.text };
});

function clock(seconds) {
  const whole = Math.floor(seconds);
  const parts = [Math.floor(whole / 60) % 60, whole % 60].map(each => String(each).padStart(2, "0"));
  return (transcript.duration >= 3600 ? [Math.floor(whole / 3600), ...parts] : parts).join(":");
}

function make(name, properties, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.append(document.createElementNS(svg.namespaceURI, "use"));
  svg.firstChild.setAttribute("href", `#icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  return svg;
}

// As `-f txt --timestamps` parts what is said without a pause.
function isLong(length, before) {
  return length >= PARAGRAPH_S * (/[.?!…。！？।؟]$/u.test(before) ? 1 : 2);
}

function paragraphs(isShown) {
  const made = [];
  let last = null;
  for (const row of rows) {
    if (!row.text && !isShown) continue;
    const isNew = !last || row.note || last.note || row.speaker !== last.speaker
      || row.start - last.end > PARAGRAPH_PAUSE_S
      || (isShown ? made.at(-1).length > PARAGRAPH_LENGTH && /[.!?…。！？]["'»”]?$/u.test(last.text)
        : page.timestamps && isLong(row.start - made.at(-1).rows[0].start, last.text));
    if (isNew) made.push({ rows: [], length: 0, speaker: row.speaker });
    made.at(-1).rows.push(row);
    made.at(-1).length += row.text.length;
    last = row;
  }
  return made;
}

const speakers = [...new Set(rows.map(row => row.speaker).filter(speaker => speaker !== undefined))].sort();

function hue(speaker) {
  // The golden angle keeps colours apart, however many there are.
  return (250 + speakers.indexOf(speaker) * 137.5) % 360;
}

function lineOf(row) {
  row.line = make("span", { className: "line", tabIndex: -1 });
  row.line.dataset.row = row.number;
  showText(row);
  return row.line;
}

function showText(row) {
  const isEdited = row.text !== row.original;
  row.line.textContent = row.text;
  row.words = null;
  row.line.classList.toggle("edited", isEdited);
  if (isEdited && !row.undo) {
    row.undo = make("button", { className: "undo", title: say("undo"), ariaLabel: say("undo") }, icon("undo"));
    row.undo.dataset.row = row.number;
    row.line.after(row.undo);
  } else if (!isEdited) {
    row.undo?.remove();
    row.undo = null;
  }
}

function paragraphElement({ rows: own, speaker }, index, made) {
  const [first] = own;
  const time = make("button", { className: "time", tabIndex: -1, textContent: clock(first.start), ariaLabel: say("play_from", clock(first.start)) });
  time.dataset.row = first.number;
  const lines = make("p", { className: "lines" });
  for (const row of own) {
    lines.append(...(lines.hasChildNodes() ? [" "] : []), lineOf(row), ...(row.undo ? [row.undo] : []));
  }
  const element = make("div", { className: "paragraph" }, time, lines);
  element.classList.toggle("note", Boolean(first.note));
  if (speaker !== undefined) {
    element.classList.add("spoken");
    element.style.setProperty("--hue", hue(speaker));
  }
  // Named where the speaker changes.
  const isNamed = speaker !== undefined && speaker !== made[index - 1]?.speaker;
  if (isNamed) {
    const name = make("bdi", { textContent: /^\d+$/.test(speaker) ? say("speaker", speaker) : speaker });
    lines.before(make("div", { className: "speaker" }, name));
  }
  return element;
}

// Browsers draw only the blocks that are on the screen; with each paragraph a block, to keep account
// of them costs more than to draw.
function blocks() {
  const made = paragraphs(true);
  const elements = made.map(paragraphElement);
  const count = Math.ceil(made.length / BLOCK_PARAGRAPHS);
  return Array.from({ length: count }, (_, index) => {
    const from = index * BLOCK_PARAGRAPHS;
    const block = make("div", { className: "block" }, ...elements.slice(from, from + BLOCK_PARAGRAPHS));
    // About as tall as it will be, so that the scrollbar keeps still.
    const lines = made.slice(from, from + BLOCK_PARAGRAPHS).map(({ length }) => Math.ceil(length / LINE_LENGTH) + 0.75);
    block.style.setProperty("--lines", lines.reduce((sum, each) => sum + each, 0));
    return block;
  });
}

const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;
const lettersOf = string => string.match(/[\p{L}\p{N}]/gu)?.length ?? 0;

// The words of a text with the marks behind them, as [start, end] of its characters.
function tokensOf(string) {
  if (!UNSPACED.test(string)) return [...string.matchAll(/\S+/gu)].map(({ 0: word, index }) => [index, index + word.length]);
  const tokens = [];
  for (const { index, segment, isWordLike } of new Intl.Segmenter(undefined, { granularity: "word" }).segment(string)) {
    if (isWordLike || !tokens.length) tokens.push([index, index + segment.length]);
    else if (segment.trim()) tokens.at(-1)[1] = index + segment.length;
  }
  return tokens;
}

// The words of a row's text, as { start, end, from, to }: characters, and seconds. Recognisers leave
// out punctuation and join or split words, so that both are matched by counting letters.
function wordsOf(row) {
  row.words ??= row.spoken?.length ? timed(row, row.spoken) : [];
  return row.words;
}

function timed(row, spoken) {
  const tokens = tokensOf(row.text);
  const total = lettersOf(row.text);
  const ends = [];
  for (const { word } of spoken) ends.push((ends.at(-1) ?? 0) + lettersOf(word));
  if (!total || !ends.at(-1)) return [];
  const scale = ends.at(-1) / total;
  const moment = (letter, isEnd) => {
    let index = ends.findIndex(end => isEnd ? end >= letter - 1e-6 : end > letter + 1e-6);
    if (index < 0) index = spoken.length - 1;
    const { word, start, end } = spoken[index];
    const count = lettersOf(word);
    return count ? start + Math.min(1, Math.max(0, (letter - ends[index] + count) / count)) * (end - start) : end;
  };
  let letters = 0;
  return tokens.map(([start, end]) => {
    const from = moment(letters * scale, false);
    letters += lettersOf(row.text.slice(start, end));
    return { start, end, from, to: Math.max(from, moment(letters * scale, true)) };
  });
}

function rangeIn(row, start, end, last = row) {
  const range = new Range();
  const [from, to] = [row.line.firstChild, last.line.firstChild];
  if (!from || !to) return null;
  range.setStart(from, Math.min(start, from.length));
  range.setEnd(to, Math.min(end, to.length));
  return range;
}

function highlight(name, ranges) {
  // Older browsers mark the line alone.
  if (typeof Highlight === "function") CSS.highlights.set(name, new Highlight(...ranges.filter(Boolean)));
}
