/** Tables as they look everywhere in the command line: a rule under the head, nothing around. */
import { stripVTControlCharacters } from "node:util";
import stringWidth from "string-width";
import type { Colours } from "./terminal.js";

/** Between two columns. */
const GAP = "  ";

export interface TableContent {
  /** Titles of the columns; a title may have several lines. Empty for a table without a head. */
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Columns, numbered from 0, whose cells end at the right. */
  readonly rightAligned?: readonly number[];
}

/** The lines of a table, without a newline at the end. Takes time in proportion to its cells, however many rows it has. */
export function renderTable(colours: Colours, { head, rows, rightAligned = [] }: TableContent): string {
  const titles = head.map((title) => title.split("\n").map(colours.dim));
  const headHeight = titles.reduce((most, lines) => Math.max(most, lines.length), 0);
  const cells = rows.map((row) => row.map((cell) => cell.split("\n")));
  // Titles stand on the rule, whatever their number of lines.
  if (headHeight > 0) {
    cells.unshift(
      titles.map((lines) => [...new Array<string>(headHeight - lines.length).fill(""), ...lines]),
    );
  }
  const widths: number[] = [];
  for (const row of cells) {
    for (const [column, cell] of row.entries()) {
      for (const line of cell) widths[column] = Math.max(widths[column] ?? 0, displayWidth(line));
    }
  }
  const lines = cells.flatMap((row) => {
    const height = row.reduce((most, cell) => Math.max(most, cell.length), 1);
    return Array.from({ length: height }, (_, i) =>
      row
        .map((cell, column) => {
          const line = cell[i] ?? "";
          const space = " ".repeat(widths[column] - displayWidth(line));
          return rightAligned.includes(column) ? space + line : line + space;
        })
        .join(GAP)
        .trimEnd(),
    );
  });
  if (headHeight > 0) {
    lines.splice(headHeight, 0, colours.dim("─".repeat(tableWidth(lines.join("\n")))));
  }
  return lines.join("\n");
}

/** The table, without the first of the dispensable columns, then without the second, too, and so on, until it fits or none is left. */
export function narrowedTable(
  colours: Colours,
  content: TableContent,
  { width, dispensable }: { readonly width: number; readonly dispensable: readonly number[] },
): string {
  const table = renderTable(colours, content);
  const [least, ...others] = dispensable;
  if (least === undefined || tableWidth(table) <= width) return table;
  const { head, rows, rightAligned = [] } = content;
  const without = (cells: readonly string[]) => cells.toSpliced(least, 1);
  const moved = (columns: readonly number[]) =>
    columns.filter((column) => column !== least).map((column) => (column > least ? column - 1 : column));
  return narrowedTable(
    colours,
    { head: without(head), rows: rows.map(without), rightAligned: moved(rightAligned) },
    { width, dispensable: moved(others) },
  );
}

/** A table of few rows, whose first cells are their names: where it is too wide, each column becomes a line. */
export function turnedTable(colours: Colours, content: TableContent, width: number): string {
  const table = renderTable(colours, content);
  if (tableWidth(table) <= width) return table;
  const { head, rows } = content;
  return renderTable(colours, {
    head: ["", ...rows.map(([name = ""]) => name)],
    rows: head.slice(1).map((title, i) => {
      const name = title.split("\n").map(colours.dim).join("\n");
      return [name, ...rows.map((row) => row[i + 1] ?? "")];
    }),
    rightAligned: rows.map((_, i) => i + 1),
  });
}

/** Columns of the terminal that a table's longest line takes. */
export function tableWidth(table: string): number {
  return table
    .split("\n")
    .reduce((most, line) => Math.max(most, displayWidth(stripVTControlCharacters(line))), 0);
}

/** Columns of the terminal that a text takes. */
function displayWidth(text: string): number {
  // Most cells are plain, and the library looks for emoji in every text.
  return /^[ -~]*$/.test(text) ? text.length : stringWidth(text);
}
