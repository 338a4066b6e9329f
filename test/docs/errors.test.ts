/** docs/errors.md lists the codes that there are, in the library and over HTTP, and no others. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const [library, http] = readFileSync(join(root, "docs/errors.md"), "utf8").split("\n## Over HTTP\n");

function codesIn(cell: string): string[] {
  return [...cell.matchAll(/`(\w+)`/g)].map(([, code]) => code);
}

/** The first cell of each row of a table, or the second. */
function cells(text: string, column: number): string[] {
  return text
    .split("\n")
    .filter((line) => /^\| (?:`|\d)/.test(line))
    .map((line) => line.split(" | ")[column].replace(/^\| /, ""));
}

test("the library's codes", () => {
  const [, union] = /export type ErrorCode =([\s\S]*?");/.exec(
    readFileSync(join(root, "src/errors.ts"), "utf8"),
  )!;
  const codes = [...union.matchAll(/\| "(\w+)"/g)].map(([, code]) => code);
  expect(codes.length).toBeGreaterThan(20);
  expect(cells(library, 0).flatMap(codesIn).sort()).toEqual(codes.sort());
});

test("the server's own codes, with their statuses", () => {
  const files = readdirSync(join(root, "src/server"), { recursive: true, encoding: "utf8" });
  const thrown = files
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"))
    .flatMap((name) => {
      const text = readFileSync(join(root, "src/server", name), "utf8");
      const made = [...text.matchAll(/new ApiError\(\s*(\d{3}),\s*"(\w+)"/g)];
      const unavailable = [...text.matchAll(/\bunavailable\(\s*"(\w+)"/g)].map(([, code]) => `503 ${code}`);
      return [...made.map(([, status, code]) => `${status} ${code}`), ...unavailable];
    });
  const listed = cells(http, 0).flatMap((statuses, row) =>
    codesIn(cells(http, 1)[row]).flatMap((code) => statuses.split(", ").map((status) => `${status} ${code}`)),
  );
  const inLibrary = new Set(cells(library, 0).flatMap(codesIn));
  // Of HTTP itself there are more statuses, which the row says in words.
  const own = thrown.filter(
    (made) => !inLibrary.has(made.slice(4)) && !/^(?:405|417) invalid_http$/.test(made),
  );
  expect(listed.length).toBeGreaterThan(25);
  expect(own.filter((made) => !listed.includes(made))).toEqual([]);
  expect(listed.filter((made) => !thrown.includes(made))).toEqual([]);
});

test("what doc comments say is thrown is among them", () => {
  const known = new Set(cells(library, 0).flatMap(codesIn));
  const files = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" });
  const named = files
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"))
    .flatMap((name) => {
      const text = readFileSync(join(root, "src", name), "utf8");
      const comments = [...text.matchAll(/@throws LastrowError[^@]*?\*\//g)];
      return comments.flatMap(([comment]) =>
        [...comment.matchAll(/`([a-z]+(?:_[a-z]+)+)`/g)].map(([, code]) => ({ name, code })),
      );
    });
  // Fields and a function of templates, of which the same comments speak.
  for (const other of ["layer_types", "model_type", "raise_exception"]) known.add(other);
  expect(named.length).toBeGreaterThan(100);
  expect(named.filter(({ code }) => !known.has(code))).toEqual([]);
});
