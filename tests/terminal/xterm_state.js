// Draws streams on xterm.js, the viewers' terminal in browsers, and tells what it then shows.
// In: a JSON line for each terminal, {cols, rows, data: [base64 or {cols, rows}, ...]}. Out: a JSON line for each, its state.
"use strict";
const readline = require("readline");
const { createRequire } = require("module");
const path = require("path");
const here = createRequire(path.join(process.cwd(), "index.js"));
const { Terminal } = here("@xterm/headless");
const { Unicode11Addon } = here("@xterm/addon-unicode11");

// What can be seen: of a blank, neither the colour nor the weight of its character.
function style(cell) {
  if (cell.getChars().trim() === "" && !cell.isInverse() && !cell.isUnderline() && !cell.isStrikethrough()) {
    return [cell.getBgColorMode(), cell.getBgColor()].join(",");
  }
  return [
    cell.getFgColorMode(), cell.getFgColor(), cell.getBgColorMode(), cell.getBgColor(), cell.isBold() > 0, cell.isDim() > 0,
    cell.isItalic() > 0, cell.isUnderline() > 0, cell.isBlink() > 0, cell.isInverse() > 0, cell.isStrikethrough() > 0,
  ].join(",");
}

function buffer(terminal, shown) {
  const rows = [];
  const styles = [];
  for (let y = 0; y < terminal.rows; y++) {
    const line = shown.getLine(shown.baseY + y);
    rows.push(line.translateToString(true).trimEnd());
    const cells = [];
    for (let x = 0; x < terminal.cols; x++) cells.push(style(line.getCell(x)));
    styles.push(cells.join(" "));
  }
  return { rows, styles };
}

async function draw({ cols, rows, data }) {
  const terminal = new Terminal({ cols, rows, allowProposedApi: true, scrollback: 1000 });
  terminal.loadAddon(new Unicode11Addon());
  terminal.unicode.activeVersion = "11";
  let title = "";
  terminal.onTitleChange((text) => { title = text; });
  for (const chunk of data) {
    if (typeof chunk === "string") await new Promise((done) => terminal.write(Buffer.from(chunk, "base64"), done));
    else terminal.resize(chunk.cols, chunk.rows);
  }
  const active = terminal.buffer.active;
  const core = terminal._core;
  const state = {
    shown: buffer(terminal, active), main: buffer(terminal, terminal.buffer.normal).rows, screen: active.type,
    cursor: [active.cursorY, active.cursorX], hidden: core.coreService.isCursorHidden, modes: terminal.modes, title,
  };
  terminal.dispose();
  return state;
}

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(JSON.stringify(await draw(JSON.parse(line))) + "\n");
  }
})();
