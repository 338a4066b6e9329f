/** The built program as a process: its streams, its signals, its exit codes. Needs `npm run build`. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

function start(args: readonly string[]): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, [MAIN, ...args], { stdio: ["pipe", "pipe", "pipe"] });
}

/** What a process has written when it has ended. */
async function ended(child: ChildProcessWithoutNullStreams) {
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  const [exitCode, signal] = await new Promise<[number | null, string | null]>((resolve) => {
    child.on("close", (code, name) => resolve([code, name]));
  });
  return { exitCode, signal, stdout, stderr };
}

/** Long enough to be interrupted: minutes, on the reference kernels. */
const LONG = ["--max-tokens", "500", "--ignore-eos", "--kernels", "reference"];

describe("the process", () => {
  it("knows its version", async () => {
    const { version } = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8"));
    const outcome = await ended(start(["--version"]));
    expect(outcome).toEqual({ exitCode: 0, signal: null, stdout: `${version}\n`, stderr: "" });
  });

  it("reads a pipe, writes plain text, and says nothing else", async () => {
    const child = start(["generate", "--seed", "1", "--max-tokens", "5"]);
    child.stdin.end("Tom\n");
    const outcome = await ended(child);
    expect(outcome).toMatchObject({ exitCode: 0, stderr: "" });
    expect(outcome.stdout).toMatch(/^[\x20-\x7e]+\n$/);
  });

  it("does not wait for a pipe that it does not need", async () => {
    expect(await ended(start(["compare", "--max-tokens", "2"]))).toMatchObject({ exitCode: 0, stderr: "" });
  });

  it("fails with 1 and a sentence", async () => {
    expect(await ended(start(["genrate"]))).toEqual({
      ...{ exitCode: 1, signal: null, stdout: "" },
      stderr: "error: Unknown command 'genrate'. Did you mean generate?\n",
    });
  });

  it.each<[NodeJS.Signals, number]>([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ])("finishes its line on %s", async (signal, exitCode) => {
    const child = start(["generate", "Tom", ...LONG]);
    const outcome = ended(child);
    child.stdout.once("data", () => child.kill(signal));
    const { stdout, ...rest } = await outcome;
    expect(rest).toEqual({ exitCode, signal: null, stderr: "" });
    expect(stdout.endsWith("\n")).toBe(true);
  });

  it.each([
    ["generate", ["generate", "Tom", ...LONG]],
    ["compare", ["compare", ...LONG]],
    ["logits", ["logits", "Tom and Lily ".repeat(80), "--all", "--json"]],
  ])("ends quietly when the reader of %s leaves", async (_, args) => {
    const child = start(args);
    const outcome = ended(child);
    child.stdout.once("data", () => child.stdout.destroy());
    expect(await outcome).toMatchObject({ exitCode: 141, stderr: "" });
  });
});
