/** `lastrow embed`: lines in, lines of JSON out. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run } from "../../../test/cli/captured-io.js";
import { embeddingModelFiles } from "../../../test/embedding-model.js";
import { load } from "../../library/load.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-embed-"));
  const prompts = { prompts: { query: "Query: " } };
  for (const [name, bytes] of Object.entries(embeddingModelFiles({ pooling: "lasttoken", prompts }).files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), bytes);
  }
});
afterAll(() => rm(folder, { recursive: true }));

describe("embed", () => {
  it("gives a line of JSON for each line, the library's vectors", async () => {
    const lines = ["A dog!", "", 'She said "hi".', ...Array.from({ length: 300 }, (_, i) => `${i}`)];
    await using lm = await load(folder, { threads: 1 });
    const options = ["--model", folder, "--threads", "1", "--dimensions", "4"];
    for (const [args, asked] of [
      [[], {}],
      [["--prompt-name", "query", "--pooling", "mean"], { promptName: "query", pooling: "mean" }],
    ] as const) {
      const { stdout, stderr, exitCode } = await run(["embed", "-", ...options, ...args], {
        stdin: `${lines.join("\n")}\n`,
      });
      expect([stderr, exitCode]).toEqual(["", 0]);
      const { embeddings } = await lm.embed(lines, { dimensions: 4, ...asked });
      expect(
        stdout
          .trimEnd()
          .split("\n")
          .map((line) => JSON.parse(line)),
      ).toEqual(lines.map((text, i) => ({ text, embedding: [...embeddings[i]!] })));
    }
    expect(await run(["embed", ...options], { stdin: "" })).toMatchObject({ stdout: "", exitCode: 0 });
  });

  it("says what is wrong", async () => {
    const failures: readonly [readonly string[], RegExp, string?][] = [
      [["no-such-file.txt"], /no-such-file\.txt cannot be read: ENOENT/],
      [[], /Give a file of texts, one a line, or pipe one in/],
      [["-"], /Line 302: The prompt has \d+ tokens/, `${"a\n".repeat(301)}${"a b c ".repeat(100)}\nb`],
      [["-", "--prompt-name", "q"], /--prompt-name is "q"; .* has "query"/, ""],
      [["-", "--dimensions", "99"], /--dimensions is a whole number from 1 to 32, not 99/, ""],
      [["-", "--pooling", "cls"], /--pooling/, ""],
    ];
    for (const [args, message, stdin] of failures) {
      const failed = await run(
        ["embed", ...args, "--model", folder, "--threads", "1"],
        stdin === undefined ? {} : { stdin },
      );
      expect(failed.exitCode, args.join(" ")).not.toBe(0);
      expect(failed.stderr).toMatch(message);
    }
    const stories = await run(["embed", "-"], { stdin: "a" });
    expect(stories.stderr).toMatch(
      /stories does not say how vectors are made.* with --pooling last or --pooling mean\./,
    );
  });
});
