/** `lastrow perplexity` from a file, or standard input, to output. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { run } from "../../../test/cli/captured-io.js";
import { load } from "../../library/load.js";

describe("perplexity", () => {
  it("scores a file, or the same on standard input", async () => {
    // More than one window of 512 tokens.
    const text = (await readFile(new URL("../../../LICENSE", import.meta.url), "utf8")).slice(0, 1750);
    const folder = await mkdtemp(join(tmpdir(), "lastrow-perplexity-"));
    const file = join(folder, "text.txt");
    await writeFile(file, text);
    const { stdout, stderr } = await run(["perplexity", file, "--json"]);
    expect(stderr).toBe("");
    const object = JSON.parse(stdout);
    expect(Object.keys(object)).toEqual(["perplexity", "tokens", "nllMean"]);
    expect(object.tokens).toBeGreaterThan(512);
    await using lm = await load();
    expect(object).toEqual(await lm.perplexity(text));
    expect(object.perplexity).toBe(Math.exp(object.nllMean));
    // The rest of less, which takes as long to load and not to compute.
    const short = text.slice(0, 100);
    await writeFile(file, short);
    const ofShort = await lm.perplexity(short);
    for (const args of [["-"], []]) {
      const read = await run(["perplexity", ...args, "--json"], { stdin: short });
      expect(JSON.parse(read.stdout)).toEqual(ofShort);
    }
    const shown = await run(["perplexity", file]);
    expect(shown.stdout).toContain(`perplexity ${ofShort.perplexity.toPrecision(5)}\n`);
    expect(shown.stdout).toContain("tokens scored");
    await rm(folder, { recursive: true });
  });

  it("says what is wrong with its input", async () => {
    const failures: readonly [readonly string[], RegExp, string?][] = [
      [["no-such-file.txt"], /no-such-file\.txt cannot be read: ENOENT/],
      [["."], /cannot be read: EISDIR/],
      [[], /Give a file of text, or pipe one in/],
      [["-"], /The text has one token/, ""],
      [["-", "--stride", "513"], /--stride is a whole number from 1 to the context's length, 512/, "a b"],
      [["-", "--stride", "0"], /--stride.*at least 1/s, "a b"],
    ];
    for (const [args, message, stdin] of failures) {
      const failed = await run(["perplexity", ...args], stdin === undefined ? {} : { stdin });
      expect(failed).toMatchObject({ exitCode: 1, stdout: "" });
      expect(failed.stderr).toMatch(message);
    }
  });
});
