// Corrections, and downloads in the forms of `-f`.

function correct(row, corrected) {
  row.text = corrected;
  // Another tab may have corrected other lines meanwhile.
  const kept = storage.get(STORED) ?? {};
  if (corrected === row.original) delete kept[`${row.start} ${row.original}`];
  else kept[`${row.start} ${row.original}`] = corrected;
  const isKept = storage.set(STORED, kept);
  showText(row);
  search();
  notify(isKept ? "" : say("unsaved"));
}

function notify(message) {
  const count = rows.filter(row => row.text !== row.original).length;
  const parts = [message, count && say("corrected", count), isEditing && say("editing")];
  $("notice").textContent = parts.filter(Boolean).join(" · ");
  $("notice").hidden = !$("notice").textContent;
}

let isEditing = false;

function edit(row, character) {
  if (row.note) return;
  // Older browsers paste markup too, of which the text is taken.
  try { row.line.contentEditable = "plaintext-only"; } catch { row.line.contentEditable = "true"; }
  row.line.role = "textbox";
  row.line.focus({ preventScroll: true });
  getSelection().collapse(row.line.firstChild ?? row.line, row.line.firstChild ? character : 0);
}

const plain = string => string.replace(/[\u0000-\u001f\u007f-\u009f\s]+/gu, " ").trim();

function endEdit(row, isKept) {
  const typed = plain(row.line.textContent);
  row.line.removeAttribute("contenteditable");
  row.line.removeAttribute("role");
  // A no-break space is no difference: nobody types one, and browsers put some where spaces are.
  if (isKept && typed !== plain(row.text)) correct(row, typed === plain(row.original) ? row.original : typed);
  else showText(row);
}

function toggleEditing() {
  isEditing = document.body.classList.toggle("editing");
  $("edit").setAttribute("aria-pressed", String(isEditing));
  notify("");
}

function srtTime(ms, point) {
  const [hours, minutes, seconds] = [3600000, 60000, 1000].map((unit, i) => String(Math.floor(ms / unit) % (i ? 60 : 1e9)).padStart(2, "0"));
  return `${hours}:${minutes}:${seconds}${point}${String(ms % 1000).padStart(3, "0")}`;
}

const columnsOf = string => string.length + (string.match(/[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60]/g)?.length ?? 0);

// The cues of a row: as they were made, or of its corrected text within the same time.
function cuesOf(row) {
  if (row.text === row.original) return row.cues;
  if (!row.text) return [];
  const prefix = row.speaker === undefined ? "" : `${row.speaker}: `;
  // Beside a long name, its line is too long.
  const room = Math.max(page.width, columnsOf(prefix) + Math.ceil(page.width / 2));
  const [from, to] = [row.cues[0][0], row.cues.at(-1)[1]];
  const words = wordsOf(row);
  const made = [];
  for (const [start, end] of tokensOf(row.text)) {
    const word = row.text.slice(start, end);
    const isSpaced = row.text[start - 1] === " ";
    const lines = made.at(-1)?.lines;
    const longer = lines && lines.at(-1) + (isSpaced ? " " : "") + word;
    if (lines && columnsOf(longer) <= (lines.length > 1 ? page.width : room)) lines[lines.length - 1] = longer;
    else if (lines && lines.length < page.lines) lines.push(word);
    else made.push({ start, lines: [prefix + word] });
  }
  const startOf = ({ start }, i) => {
    const time = words.find(word => word.start === start)?.from;
    const ms = time === undefined ? from + (to - from) * start / row.text.length : time * 1000;
    return i ? Math.round(Math.min(to, Math.max(from, ms))) : from;
  };
  const begins = made.map(startOf);
  return made.map(({ lines }, i) => [begins[i], begins[i + 1] ?? to, lines]);
}

function cues() {
  return rows.flatMap(row => cuesOf(row).map(cue => [...cue, row.speaker])).sort((one, other) => one[0] - other[0]);
}

const escaped = line => line.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

function withoutSpeaker(lines, speaker) {
  const prefix = `${speaker}: `;
  return lines[0].startsWith(prefix) ? [lines[0].slice(prefix.length), ...lines.slice(1)] : lines;
}

function joined(texts) {
  const isWide = character => columnsOf(character) > 1 && !/\p{Script=Hangul}/u.test(character);
  return texts.reduce((before, after) => before + (isWide(before.at(-1)) && isWide(after[0]) ? "" : " ") + after);
}

const FORMS = {
  txt: () => {
    let before;
    return paragraphs(false).map(({ rows: own, speaker }) => {
      if (own[0].note) return `${own[0].note}\n`;
      const name = speaker === before || speaker === undefined ? "" : `${speaker}: `;
      before = speaker;
      const time = page.timestamps ? `[${srtTime(Math.floor(own[0].start) * 1000, ".").split(".")[0]}] ` : "";
      return `${time}${name}${joined(own.map(row => row.text))}\n`;
    }).join("\n");
  },
  srt: () => cues().map(([start, end, lines], i) => `${i + 1}\n${srtTime(start, ",")} --> ${srtTime(end, ",")}\n${lines.join("\n")}\n\n`).join(""),
  vtt: () => "WEBVTT\n\n" + cues().map(([start, end, lines, speaker], i) => {
    const voice = speaker === undefined ? "" : `<v ${escaped(speaker)}>`;
    return `${i + 1}\n${srtTime(start, ".")} --> ${srtTime(end, ".")}\n${voice}${withoutSpeaker(lines, speaker).map(escaped).join("\n")}\n\n`;
  }).join(""),
  json: () => {
    const segments = transcript.segments.map(segment => ({ ...segment }));
    for (const row of rows) {
      if (row.text === row.original) continue;
      // The words are those of another text.
      delete segments[row.segment].words;
      segments[row.segment].text = row.text;
    }
    const whole = segments.map(segment => segment.text).filter(Boolean).join(" ");
    return JSON.stringify({ ...transcript, text: whole, segments }, null, 2) + "\n";
  },
};

function download(form) {
  const name = decodeURIComponent(location.pathname.split("/").pop()).replace(/\.html?$/i, "") || "transcript";
  const url = URL.createObjectURL(new Blob([FORMS[form]()], { type: "text/plain" }));
  make("a", { href: url, download: `${name}.${form}` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
