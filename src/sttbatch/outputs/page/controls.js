// The reader's hands, and the beginning.

const rowOf = target => rows[target.closest?.("[data-row]")?.dataset.row];

// How many characters of a row are before the pointer.
function characterAt(row, { clientX, clientY }) {
  const caret = document.caretPositionFromPoint?.(clientX, clientY);
  const range = caret ? null : document.caretRangeFromPoint?.(clientX, clientY);
  const [node, offset] = caret ? [caret.offsetNode, caret.offset] : [range?.startContainer, range?.startOffset];
  return node === row.line.firstChild ? offset : 0;
}

text.addEventListener("click", event => {
  const row = rowOf(event.target);
  if (!row) return;
  if (event.target.closest(".undo")) correct(row, row.original);
  else if (event.target.closest(".time")) play(row.start);
  else if (row.line.isContentEditable || !getSelection().isCollapsed) return;
  else if (isEditing && !row.note) edit(row, characterAt(row, event));
  else play(wordsOf(row).find(word => characterAt(row, event) <= word.end)?.from ?? row.start);
});
text.addEventListener("dblclick", event => {
  const row = event.target.matches(".line") && rowOf(event.target);
  if (row && !row.line.isContentEditable) edit(row, characterAt(row, event));
});
text.addEventListener("focusin", ({ target }) => {
  if (!target.matches(".line")) return;
  text.querySelector('.line[tabindex="0"]')?.setAttribute("tabindex", "-1");
  target.tabIndex = 0;
});
text.addEventListener("focusout", ({ target }) => {
  if (target.isContentEditable) endEdit(rowOf(target), true);
});

function moveLine(by) {
  const row = rowOf(document.activeElement) ?? current;
  const next = rows[row ? row.number + by : 0];
  if (!next) return;
  readerScrolls();
  next.line.focus({ preventScroll: true });
  bringIntoView(next.line);
}

function editFocused() {
  const row = rowOf(document.activeElement) ?? current;
  if (row) edit(row, row.text.length);
}

const seek = by => { player.currentTime = Math.max(0, player.currentTime + by); };
const toggle = () => { if (player.paused) player.play().catch(() => {}); else player.pause(); };
const find = () => { $("query").focus(); $("query").select(); };
const help = () => $("keys").showModal();

// By what they write, or where they are: other layouts have no / there.
const KEYS = {
  " ": toggle,
  ArrowLeft: () => seek(-SEEK_S),
  ArrowRight: () => seek(SEEK_S),
  ArrowUp: () => moveLine(-1),
  ArrowDown: () => moveLine(1),
  Enter: () => { const row = rowOf(document.activeElement); if (row) play(row.start); },
  KeyE: editFocused,
  KeyF: () => follow(true),
  "/": find,
  "?": help,
  Slash: ({ shiftKey }) => shiftKey ? help() : find(),
};

document.addEventListener("keydown", event => {
  const { key, code, target } = event;
  if (event.isComposing || $("keys").open) return;
  if (target.isContentEditable) return editingKey(event);
  if (target === $("query")) return searchKey(event);
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (["PageUp", "PageDown", "Home", "End"].includes(key)) return readerScrolls();
  // They have keys of their own.
  if (target.closest("select, input") || (target.closest("button, summary, audio, video") && !["/", "?"].includes(key))) return;
  const act = KEYS[key] ?? KEYS[code];
  if (!act) return;
  event.preventDefault();
  act(event);
});

function editingKey(event) {
  const row = rowOf(event.target);
  if (event.key === " " && event.ctrlKey) toggle();
  else if (event.key === "Enter" || event.key === "Escape") {
    endEdit(row, event.key === "Enter");
    row.line.focus({ preventScroll: true });
  } else return;
  event.preventDefault();
}

function searchKey(event) {
  if (event.key === "Enter") step(event.shiftKey ? -1 : 1);
  else if (event.key === "Escape") {
    $("query").value = "";
    search();
    $("query").blur();
  } else return;
  event.preventDefault();
}

for (const name of ["wheel", "touchmove"]) document.addEventListener(name, readerScrolls, { passive: true });
document.addEventListener("pointerdown", ({ clientX, target }) => {
  // On the scrollbar.
  if (clientX >= document.documentElement.clientWidth) readerScrolls();
  if (!$("downloads").contains(target)) $("downloads").open = false;
});

$("query").addEventListener("input", () => {
  search();
  step(1);
});
$("next").addEventListener("click", () => step(1));
$("previous").addEventListener("click", () => step(-1));
$("speed").addEventListener("change", ({ target }) => { player.playbackRate = Number(target.value); });
$("edit").addEventListener("click", toggleEditing);
$("follow").addEventListener("click", () => follow(true));
$("help").addEventListener("click", help);
$("downloads").addEventListener("click", ({ target }) => {
  if (!target.dataset.form) return;
  download(target.dataset.form);
  $("downloads").open = false;
});

function paint(scheme) {
  if (scheme) document.documentElement.style.colorScheme = scheme;
}

$("theme").addEventListener("click", () => {
  const isDark = (document.documentElement.style.colorScheme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  paint(isDark ? "light" : "dark");
  storage.set("sttbatch theme", document.documentElement.style.colorScheme);
});

function languageName(code) {
  try { return new Intl.DisplayNames([page.strings.ui], { type: "language" }).of(code); } catch { return code; }
}

paint(storage.get("sttbatch theme"));
$("facts").textContent = [clock(transcript.duration), page.language && languageName(page.language), transcript.model].filter(Boolean).join(" · ");
text.append(...blocks());
if (!rows.length) text.append(make("p", { className: "empty", textContent: say("empty") }));
else rows[0].line.tabIndex = 0;
search();
notify("");
if (!player.getAttribute("src") || player.error) offerChoice();
