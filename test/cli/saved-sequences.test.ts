/** A text that is saved by one run of the command line and gone on with by another. */
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { modelFolders } from "../fixture-models.js";
import { run } from "./captured-io.js";

const TINY = ["--model", modelFolders.tiny, "--threads", "1", "--json", "--seed", "1"];
let folder: string;
let file: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-cli-saved-"));
  file = join(folder, "a.kv.safetensors");
  // The key of these tests is their own.
  vi.stubEnv("XDG_DATA_HOME", folder);
  await run(["generate", ...TINY, "--tokens", "1,2,3", "--max-tokens", "40", "--save", file]);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

describe("generate", () => {
  it("goes on from what was saved, computing only what is new", async () => {
    const first = JSON.parse(
      (await run(["generate", ...TINY, "--tokens", "1,2,3", "--max-tokens", "40"])).stdout,
    );
    const whole = ["1,2,3", ...first.tokens, "5,6"].join(",");
    const alone = JSON.parse(
      (await run(["generate", ...TINY, "--tokens", whole, "--max-tokens", "8"])).stdout,
    );
    const args = ["generate", ...TINY, "--tokens", "5,6", "--max-tokens", "8", "--restore", file];
    const restored = JSON.parse((await run(args)).stdout);
    expect(restored.tokens).toEqual(alone.tokens);
    expect(restored.promptTokens).toBe(45);
    // Of 45, 32 are found in whole blocks; then a row for each token but the last.
    expect(restored.rowsComputed).toBe(13 + 7);
    expect(alone.rowsComputed).toBe(45 + 7);
  });

  it("says in one line why a file is not restored, or not written", async () => {
    const bad = join(folder, "bad");
    await writeFile(bad, "no safetensors");
    const link = join(folder, "link");
    await symlink(file, link);
    const cases = [
      { args: ["--restore", bad], code: "saved_sequence_invalid" },
      { args: ["--restore", join(folder, "none")], code: "saved_sequence_not_found" },
      { args: ["--restore", file, "--kv-dtype", "int8"], code: "saved_sequence_mismatch" },
      { args: ["--save", link], code: "file_not_written" },
    ];
    for (const { args, code } of cases) {
      const { exitCode, stdout, stderr } = await run([
        "generate",
        ...TINY,
        "--tokens",
        "5",
        "--max-tokens",
        "2",
        ...args,
      ]);
      // What was generated is not lost when it cannot be saved.
      expect({ exitCode, tokens: stdout === "" ? 0 : JSON.parse(stdout).tokens.length }).toEqual({
        exitCode: 1,
        tokens: code === "file_not_written" ? 2 : 0,
      });
      expect(stderr).toMatch(new RegExp(`^error: .* \\[${code}\\]\n$`));
    }
  });
});
