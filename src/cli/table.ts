/** Tables as they look everywhere in the command line: a rule under the head, nothing around. */
import { stripVTControlCharacters } from "node:util";
import Table from "cli-table3";
import type { Colours } from "./terminal.js";

const NO_LINES = {
  ...{ top: "", "top-mid": "", "top-left": "", "top-right": "" },
  ...{ bottom: "", "bottom-mid": "", "bottom-left": "", "bottom-right": "" },
  ...{ left: "", "left-mid": "", mid: "", "mid-mid": "", right: "", "right-mid": "", middle: "  " },
};

export interface TableContent {
  /** Titles of the columns; a title may have several lines. Empty for a table without a head. */
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Columns, numbered from 0, whose cells end at the right. */
  readonly rightAligned?: readonly number[];
}

/** The lines of a table, without a newline at the end. */
export function renderTable(colours: Colours, { head, rows, rightAligned = [] }: TableContent): string {
  const table = new Table({
    chars: NO_LINES,
    colAligns: Array.from({ length: Math.max(head.length, rows[0]?.length ?? 0) }, (_, column) =>
      rightAligned.includes(column) ? "right" : "left",
    ),
    // Its own colours know nothing of the stream.
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0 },
  });
  const titles = head.map((title) => title.split("\n").map(colours.dim));
  const headHeight = Math.max(0, ...titles.map((lines) => lines.length));
  // Titles stand on the rule, whatever their number of lines.
  if (headHeight > 0) {
    table.push(
      titles.map((lines) => [...new Array(headHeight - lines.length).fill(""), ...lines].join("\n")),
    );
  }
  table.push(...rows.map((row) => [...row]));
  const lines = table.toString().split("\n");
  const width = Math.max(...lines.map((line) => stripVTControlCharacters(line).trimEnd().length));
  if (headHeight > 0) lines.splice(headHeight, 0, colours.dim("─".repeat(width)));
  return lines.map((line) => line.trimEnd()).join("\n");
}
