import { stripVTControlCharacters } from "node:util";
import picocolors from "picocolors";
import { describe, expect, it } from "vitest";
import { narrowedTable, renderTable, tableWidth, turnedTable } from "./table.js";
import type { Colours } from "./terminal.js";

const plain: Colours = picocolors.createColors(false);
const coloured: Colours = picocolors.createColors(true);

describe("a table", () => {
  it("aligns columns, sets titles of several lines on the rule, and cells of several lines side by side", () => {
    const rows = [
      ["1", "one\ntwo", "x"],
      ["10,000", "three", ""],
    ];
    expect(renderTable(plain, { head: ["n", "first\nsecond", "c"], rows, rightAligned: [0] })).toBe(
      [
        "        first",
        "     n  second  c",
        "─────────────────",
        "     1  one     x",
        "        two",
        "10,000  three",
      ].join("\n"),
    );
    expect(renderTable(plain, { head: [], rows: [["a", "b"]] })).toBe("a  b");
  });

  it("gives characters the columns of a terminal that they take, and colours none", () => {
    const rows = [
      ["你好", "1"],
      [coloured.green("ab"), "2"],
    ];
    expect(renderTable(plain, { head: ["t", "n"], rows })).toBe(
      ["t     n", "───────", "你好  1", `${coloured.green("ab")}    2`].join("\n"),
    );
  });

  it("takes a row for each token of a long text", () => {
    const rows = Array.from({ length: 200_000 }, (_, i) => [String(i), "x"]);
    const lines = renderTable(plain, { head: ["at", "text"], rows, rightAligned: [0] }).split("\n");
    expect(lines).toHaveLength(200_002);
    expect(lines[200_001]).toBe("199999  x");
    expect(lines[2]).toBe("     0  x");
  });
});

describe("a table that is too wide", () => {
  const content = {
    head: ["", "rows\ncounted", "time"],
    rows: [
      [coloured.bold("cached"), "104", coloured.green("1 s")],
      [coloured.bold("recompute"), "5,450", ""],
    ],
    rightAligned: [1, 2],
  };
  const wide = tableWidth(renderTable(plain, content));

  it("is turned: a line for each column", () => {
    expect(wide).toBe("recompute    5,450  time".length);
    expect(turnedTable(plain, content, wide)).toBe(renderTable(plain, content));
    expect(stripVTControlCharacters(turnedTable(coloured, content, wide - 1))).toBe(
      [
        "         cached  recompute",
        "──────────────────────────",
        "rows        104      5,450",
        "counted",
        "time        1 s",
      ].join("\n"),
    );
  });

  it("leaves out what it can do without, and no more than it must", () => {
    const fitted = (width: number, dispensable = [1, 2]) =>
      stripVTControlCharacters(narrowedTable(coloured, content, { width, dispensable }))
        .split("\n")
        .find((line) => line.startsWith("cached"));
    expect(fitted(wide)).toBe("cached         104   1 s");
    expect(fitted(wide - 1)).toBe("cached      1 s");
    expect(fitted(wide - 1, [2, 1])).toBe("cached         104");
    expect(fitted(5)).toBe("cached");
    expect(fitted(5, [])).toBe("cached         104   1 s");
  });
});
