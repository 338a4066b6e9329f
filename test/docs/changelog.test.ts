/** CHANGELOG.md has the versions that are in the code: of the package, of the numerics, and of what is saved. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { KV_TYPES } from "../../src/kernels/kv-types.js";
import { WEIGHT_TYPES } from "../../src/kernels/weight-types.js";
import { RECORD_VERSION } from "../../src/tier/names.js";
import { VERSION } from "../../src/version.js";

const root = new URL("../../", import.meta.url);
const read = (name: string) => readFileSync(new URL(name, root), "utf8");

/** Of the newest release. */
const [, heading, newest] = /^## (\d\S*)\n([\s\S]*?)(?=^## |$(?![\s\S]))/m.exec(read("CHANGELOG.md"))!;
const versionOf = (what: string) => newest.split(`| ${what} | `)[1]?.split(" |")[0];

test("the newest release is this one", () => {
  expect([VERSION, JSON.parse(read("package.json")).version]).toEqual([heading, heading]);
});

test("versions of the numerics", () => {
  const others = Object.entries(WEIGHT_TYPES).filter(([name]) => name !== "int8");
  expect(new Set(others.map(([, { numericsVersion }]) => numericsVersion))).toEqual(new Set([1]));
  expect(versionOf("numerics of weights")).toBe(`int8: ${WEIGHT_TYPES.int8.numericsVersion}, all others: 1`);
  const ofKv = [...new Set(Object.values(KV_TYPES).map(({ numericsVersion }) => numericsVersion))];
  expect(versionOf("numerics of K and V")).toBe(ofKv.join(", "));
});

test("versions of what is saved", () => {
  expect(versionOf("records of a KV tier")).toBe(String(RECORD_VERSION));
  const [, chats] = /^const VERSION = (\d+);$/m.exec(read("src/cli/chat/saved-chat.ts"))!;
  expect(versionOf("saved chats")).toBe(chats);
  const [, all, kept] = /^const VERSIONS = \{ all: "(\d)", kept: "(\d)" \}/m.exec(
    read("src/saved-sequence/saved-metadata.ts"),
  )!;
  expect(versionOf("format of saved sequences")).toMatch(new RegExp(`^${all}, and ${kept} where `));
});
