// What a terminal shows: feeds recorded bytes to xterm.js, which has nothing to do with what is measured, and compares.
// One request per line on stdin: {rows, cols, expected: [base64 ...], shown: [base64 ...], from}. `expected` ends with the screen that
// is right. Answer, one line: {right: index of the first of `shown` after which the screen is right (looked at from `from` on) or -1,
// last: whether it is right at the end}.
"use strict";

const { Terminal } = require(require.resolve("@xterm/headless", { paths: [process.cwd()] }));
const readline = require("readline");

const terminal = ({ rows, cols }) => new Terminal({ rows, cols, scrollback: 0, allowProposedApi: true });
const write = (screen, text) => new Promise((done) => screen.write(Buffer.from(text, "base64"), done));

function shown(screen) {
  const buffer = screen.buffer.active;
  const lines = [];
  for (let row = 0; row < screen.rows; row += 1) lines.push(buffer.getLine(buffer.baseY + row).translateToString(true));
  return JSON.stringify([lines, buffer.cursorX, buffer.cursorY]);
}

async function answer(request) {
  const reference = terminal(request);
  for (const text of request.expected) await write(reference, text);
  const right = shown(reference);
  const screen = terminal(request);
  await write(screen, Buffer.concat(request.shown.slice(0, request.from).map((text) => Buffer.from(text, "base64"))).toString("base64"));
  let first = -1;
  for (let index = request.from; index < request.shown.length; index += 1) {
    await write(screen, request.shown[index]);
    if (first < 0 && shown(screen) === right) first = index;
  }
  return { right: first, last: shown(screen) === right, screen: shown(screen), wanted: right };
}

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(JSON.stringify(await answer(JSON.parse(line))) + "\n");
  }
})();
