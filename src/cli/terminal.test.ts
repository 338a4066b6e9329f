import { Writable } from "node:stream";
import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { capturedIo } from "../../test/cli/captured-io.js";
import { printable } from "../printable.js";
import { Stop } from "./exit.js";
import { coloursFor, joinedLines, textFor, WordWrap, write } from "./terminal.js";

describe("WordWrap", () => {
  it("breaks at spaces only, however the text is cut into pieces", () => {
    const words = fc.array(fc.string({ unit: fc.constantFrom("a", "b", " ", "\n"), maxLength: 9 }), {
      maxLength: 20,
    });
    fc.assert(
      fc.property(words, fc.integer({ min: 1, max: 12 }), (pieces, width) => {
        const wrap = new WordWrap(width);
        const shown = pieces.map((piece) => wrap.push(piece)).join("") + wrap.flush();
        const atOnce = new WordWrap(width);
        expect(shown).toBe(atOnce.push(pieces.join("")) + atOnce.flush());
        expect(shown.split(/\s+/).filter(Boolean)).toEqual(pieces.join("").split(/\s+/).filter(Boolean));
        for (const line of shown.split("\n")) {
          expect(line.length <= width || !line.trim().includes(" ")).toBe(true);
        }
      }),
    );
  });

  it("shows wide characters as they come, and counts two columns for each", () => {
    const wrap = new WordWrap(7);
    expect(["从前", "有一", "只小狗", "，叫 Tom", " 🙂吗"].map((piece) => wrap.push(piece)).join("|")).toBe(
      "从前|有\n一|只小\n狗|，叫|\nTom 🙂\n吗",
    );
    expect(wrap.flush()).toBe("");
    const units = fc.string({ unit: fc.constantFrom("a", "字", " ", "🙂", "\n"), maxLength: 40 });
    fc.assert(
      fc.property(units, fc.integer({ min: 2, max: 9 }), (text, width) => {
        const atOnce = new WordWrap(width);
        const inPieces = new WordWrap(width);
        const shown = atOnce.push(text) + atOnce.flush();
        expect([...text].map((piece) => inPieces.push(piece)).join("") + inPieces.flush()).toBe(shown);
        expect(shown.replace(/\s/g, "")).toBe(text.replace(/\s/g, ""));
        for (const line of shown.split("\n")) {
          const columns = [...line.trim()].reduce(
            (sum, character) => sum + (/[字🙂]/u.test(character) ? 2 : 1),
            0,
          );
          expect(columns <= width || !/.[字🙂 ]/u.test(line.trim())).toBe(true);
        }
      }),
    );
  });

  it("keeps the line ends of the text, and colours words only", () => {
    const wrap = new WordWrap(10);
    const shown =
      wrap.push("one two", (text) => `<${text}>`) + wrap.push("three\n\nfour five si") + wrap.push("x\n");
    expect(shown).toBe("<one>\n<two>three\n\nfour five\nsix\n");
  });
});

test("items stay whole in as many lines as they need", () => {
  const items = ["2 threads", "a context of 512 tokens", "18.9 MB"];
  expect(joinedLines(items, 80)).toEqual(["2 threads · a context of 512 tokens · 18.9 MB"]);
  expect(joinedLines(items, 36)).toEqual(["2 threads · a context of 512 tokens", "18.9 MB"]);
  expect(joinedLines(items, 5)).toEqual(items);
});

describe("control characters", () => {
  it("are shown on a terminal and kept in a pipe", () => {
    const text = "a\tb\n\u001b[31m\u0000\u007f\u009b";
    expect(printable(text)).toBe("a\tb\n␛[31m␀␡\\u009b");
    expect(textFor(capturedIo({ isTerminal: true }), text)).toBe(printable(text));
    expect(textFor(capturedIo(), text)).toBe(text);
  });
});

describe("colours", () => {
  it.each<[boolean, Record<string, string>, boolean]>([
    [true, {}, true],
    [false, {}, false],
    [false, { CI: "true" }, false],
    [true, { NO_COLOR: "1" }, false],
    [true, { NO_COLOR: "" }, true],
    [true, { TERM: "dumb" }, false],
    [false, { FORCE_COLOR: "1" }, true],
    [false, { FORCE_COLOR: "0" }, false],
    [true, { FORCE_COLOR: "1", NO_COLOR: "1" }, false],
  ])("terminal %s with %j: %s", (isTerminal, env, expected) => {
    expect(coloursFor(capturedIo({ isTerminal }).stdout, env).isColorSupported).toBe(expected);
  });
});

describe("write", () => {
  function slowIo() {
    const taken: (() => void)[] = [];
    const stdout = new Writable({
      highWaterMark: 4,
      decodeStrings: false,
      write: (_chunk, _encoding, done) => taken.push(done),
    });
    const controller = new AbortController();
    return { io: { ...capturedIo(), stdout, signal: controller.signal }, taken, controller };
  }

  it("waits for a slow reader", async () => {
    const { io, taken } = slowIo();
    let isDone = false;
    const writing = write(io, "more than four").then(() => {
      isDone = true;
    });
    await new Promise(setImmediate);
    expect(isDone).toBe(false);
    taken[0]();
    await writing;
  });

  it("waits no longer when the command has to end", async () => {
    const { io, controller } = slowIo();
    const writing = write(io, "more than four");
    controller.abort(new Stop(130));
    await writing;
    await write(io, "still written");
    expect(io.stdout.writableLength).toBe("more than four".length + "still written".length);
  });
});
