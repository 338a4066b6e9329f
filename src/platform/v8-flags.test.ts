import { expect, test } from "vitest";
import { wideVectors } from "./v8-flags.js";

const wide = wideVectors(true);
const major = Number.parseInt(process.versions.node, 10);

test("this Node has them from 24 on, on x86-64, and each version of V8 that comes with 24 and 26 was tested", () => {
  const has = (major === 24 || major === 26) && process.arch === "x64";
  if (has) expect(wide).toBeTypeOf("function");
  else expect(wide).toBeTypeOf("string");
  if (major < 24 && process.arch === "x64") expect(wide).toBe("they need Node 24 or newer");
});

test("two loads at once, and compilations of others meanwhile, come to no harm; an error is passed on", async () => {
  const empty = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
  if (typeof wide === "string") return expect(wide).toMatch(/^[a-z].*[^.]$|^Node /);
  const compiled = await Promise.all([
    wide((compile) => compile(empty)),
    WebAssembly.compile(empty),
    wide((compile) => compile(empty)),
    WebAssembly.compile(empty.slice()),
  ]);
  expect(compiled.every((module) => module instanceof WebAssembly.Module)).toBe(true);
  await expect(
    wide(() => {
      throw new Error("in the middle");
    }),
  ).rejects.toThrow("in the middle");
  expect(await wide(() => 7)).toBe(7);
});
