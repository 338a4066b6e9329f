/**
 * `load({ vectors })` and `--vectors` do what they say on the running Node, and V8's flags are afterwards what they were
 * before: each case is a process of its own, which has V8 tell them at its end.
 */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";

const run = promisify(execFile);
const root = new URL("../../", import.meta.url);
const isWide = Number.parseInt(process.versions.node, 10) >= 24 && process.arch === "x64";
/** Those that are set while kernels are compiled; as V8's help calls them. */
const FLAGS = ["wasm-sync-tier-up", "wasm-tiering-budget", "experimental-wasm-revectorize"];

async function program(...args: string[]): Promise<{ result: unknown; flags: (string | undefined)[] }> {
  const file = fileURLToPath(new URL("program.mjs", import.meta.url));
  const folder = await mkdtemp(join(tmpdir(), "lastrow-vectors-"));
  try {
    // V8 ends the process without waiting for a pipe that is full.
    const out = await open(join(folder, "told"), "w");
    const child = spawn(process.execPath, [file, ...args], { stdio: ["ignore", out.fd, "inherit"] });
    await once(child, "exit");
    await out.close();
    const told = await readFile(join(folder, "told"), "utf8");
    const flags = FLAGS.map((flag) => new RegExp(`^  --${flag} .*\\n.*default: (.*)$`, "m").exec(told)?.[1]);
    return { result: JSON.parse(told.slice(0, told.indexOf("\n"))), flags };
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function inspect(...args: string[]): Promise<{ stdout: string; stderr: string }> {
  const file = fileURLToPath(new URL("dist/cli/main.js", root));
  return run(process.execPath, [file, "inspect", "--threads", "1", ...args]);
}

function testWide(): void {
  test.each([["load"], ["here"], ["two"]])("%s: they are in use; the flags are as before", async (what) => {
    const [{ flags: before }, { result, flags }] = await Promise.all([program("nothing"), program(what)]);
    expect(before).toEqual([
      "--no-wasm-sync-tier-up",
      expect.stringMatching(/^--wasm-tiering-budget=\d+$/),
      "--no-experimental-wasm-revectorize",
    ]);
    const loaded = [result].flat() as { vectors: number; notices: string[]; text: string }[];
    expect(loaded).toHaveLength(what === "two" ? 3 : 1);
    for (const { vectors, notices, text } of loaded) {
      expect({ vectors, notices }).toEqual({ vectors: 256, notices: [] });
      expect(text).not.toBe("");
    }
    expect(flags).toEqual(before);
  });

  test("for a program that does not ask nothing changes", async () => {
    const { result, flags } = await program("unasked");
    expect(result).toMatchObject({ vectors: 128, notices: [] });
    expect(flags).toEqual((await program("nothing")).flags);
  });

  test("after an error, and after a worker that was ended in the middle, the flags are as before", async () => {
    const { flags: before } = await program("nothing");
    expect(await program("throw")).toEqual({ result: "in the middle", flags: before });
    expect(await program("ended")).toEqual({ result: "ended", flags: before });
    // What would be left without its starter.
    const { flags } = await program("ended", "left");
    expect(flags).toEqual([
      "--wasm-sync-tier-up",
      "--wasm-tiering-budget=1",
      "--experimental-wasm-revectorize",
    ]);
  });

  test.each([
    ["auto", 256],
    ["256", 256],
    ["128", 128],
  ])("--vectors %s: %i bits", async (asked, bits) => {
    const { stdout, stderr } = await inspect("--vectors", asked);
    expect(stdout).toContain(`${bits}-bit vectors`);
    expect(stderr).toBe("");
    expect(JSON.parse((await inspect("--vectors", asked, "--json")).stdout)).toMatchObject({ vectors: bits });
  });
}

function testNarrow(): void {
  const notice = "Vectors of 256 bits were asked for and are not in use: they need Node 24 or newer.";

  test("the library has 128, and says why where 256 were asked for", async () => {
    expect((await program("load")).result).toMatchObject({ vectors: 128, dots: "strict", notices: [notice] });
    expect((await program("unasked")).result).toMatchObject({ vectors: 128, notices: [] });
  });

  test.each([
    ["auto", ""],
    ["256", notice],
    ["128", ""],
  ])("--vectors %s: 128 bits", async (asked, told) => {
    const { stdout, stderr } = await inspect("--vectors", asked);
    expect(stdout).toContain("128-bit vectors");
    if (told === "") expect(stderr).toBe("");
    else expect(stderr).toContain(told);
  });
}

if (isWide) describe("where V8 makes vectors of 256 bits", testWide);
else describe("where there are none", testNarrow);
