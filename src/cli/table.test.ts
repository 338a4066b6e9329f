import picocolors from "picocolors";
import { describe, expect, it } from "vitest";
import { renderTable } from "./table.js";
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
