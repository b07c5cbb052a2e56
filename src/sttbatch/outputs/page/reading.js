// Playing and following, and search.

let current = null;
let currentWord;
let isFollowing = true;
let frame = 0;

// How many items of a list come first for which `isBefore` is true, which is false for all others.
function countBefore(list, isBefore) {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isBefore(list[middle])) low = middle + 1;
    else high = middle;
  }
  return low;
}

function play(seconds) {
  player.currentTime = seconds;
  follow(true);
  player.play().catch(() => {});
}

function showPlace() {
  const seconds = player.currentTime;
  const row = rows[countBefore(rows, each => each.start <= seconds) - 1];
  if (row !== current) {
    current?.line.removeAttribute("aria-current");
    row?.line.setAttribute("aria-current", "true");
    current = row;
    if (isFollowing && row && !player.paused) bringIntoView(row.line);
  }
  const word = row && wordsOf(row).findLast(each => each.from <= seconds && seconds < each.to + WORD_STAYS_S);
  if (word !== currentWord) highlight("word", word ? [rangeIn(row, word.start, word.end)] : []);
  currentWord = word;
  cancelAnimationFrame(frame);
  if (!player.paused) frame = requestAnimationFrame(showPlace);
}

function bringIntoView(element) {
  const { top, bottom } = element.getBoundingClientRect();
  if (top > $("bar").offsetHeight + 16 && bottom < innerHeight * 0.8) return;
  // What is far away has no exact place before it is drawn.
  const isSmooth = Math.abs(top) < 2 * innerHeight && !matchMedia("(prefers-reduced-motion: reduce)").matches;
  element.scrollIntoView({ block: "center", behavior: isSmooth ? "smooth" : "instant" });
}

function follow(isOn) {
  isFollowing = isOn;
  $("follow").hidden = isOn;
  if (isOn && current) bringIntoView(current.line);
}

function readerScrolls() {
  if (isFollowing && !player.paused) follow(false);
}

function offerChoice() {
  player.hidden = true;
  $("unplayable").hidden = false;
}
player.addEventListener("error", offerChoice);
player.addEventListener("loadedmetadata", () => player.classList.toggle("sound", player.videoWidth === 0));
for (const name of ["play", "timeupdate", "seeked"]) player.addEventListener(name, showPlace);
$("unplayable").querySelector("input").addEventListener("change", ({ target }) => {
  if (!target.files.length) return;
  player.src = URL.createObjectURL(target.files[0]);
  player.hidden = false;
  $("unplayable").hidden = true;
});

// All rows as one text, so that what is found may begin in one and end in the next.
let all = "";
let starts = [];
let matches = [];
let at = -1;

function search() {
  all = "";
  starts = rows.map(row => {
    const start = all.length;
    all += row.text + " ";
    return start;
  });
  const words = $("query").value.trim();
  const pattern = words.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&").replace(/\s+/g, "\\s+").replace(/[её]/gi, "[её]");
  matches = words ? [...all.matchAll(new RegExp(pattern, "giu"))].map(found => rangeAt(found.index, found.index + found[0].length)) : [];
  at = -1;
  highlight("found", matches.map(match => match.range));
  showMatch();
}

function rangeAt(start, end) {
  const [first, last] = [start, end - 1].map(character => rows[countBefore(starts, each => each <= character) - 1]);
  return { row: first, range: rangeIn(first, start - starts[first.number], end - starts[last.number], last) };
}

function showMatch() {
  const match = matches[at];
  highlight("found-now", match ? [match.range] : []);
  const count = at < 0 ? String(matches.length) : say("found", at + 1, matches.length);
  $("count").textContent = $("query").value.trim() ? (matches.length ? count : say("none")) : "";
  $("next").disabled = $("previous").disabled = !matches.length;
  if (!match) return;
  readerScrolls();
  bringIntoView(match.row.line);
}

function step(by) {
  if (!matches.length) return;
  // The first one is the next behind what is on the screen.
  const edge = $("bar").offsetHeight;
  const isAbove = ({ row: { line } }) => {
    const block = line.closest(".block").getBoundingClientRect();
    // Only lines of what is drawn have a place.
    return block.bottom < edge || (block.top < edge && line.getBoundingClientRect().bottom < edge);
  };
  if (at < 0) at = countBefore(matches, isAbove) - (by > 0 ? 1 : 0);
  at = (at + by + matches.length) % matches.length;
  showMatch();
}
