/** The chat that docs/chat.md shows is what the program shows. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { TypedTerminal } from "../cli/typed-terminal.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-docs-"));
});
afterAll(() => rm(folder, { recursive: true }));

test("docs/chat.md", async () => {
  const docs = await readFile(new URL("../../docs/chat.md", import.meta.url), "utf8");
  const [, command, transcript] = /^\$ npx lastrow (chat .*)\n([\s\S]*?)^```/m.exec(docs)!;
  const [, template] = /^```jinja\n([\s\S]*?)^```/m.exec(docs)!;
  await writeFile(join(folder, "lily.jinja"), template);
  const args = [
    ...command.replace("lily.jinja", join(folder, "lily.jinja")).matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g),
  ].map((parts) => parts.slice(1).find(Boolean)!);
  const terminal = new TypedTerminal([...args, "--threads", "1"], { columns: 90 });
  const prompts = /^(?:> |\. )/m;
  let shown = await terminal.until(/> $/);
  for (const line of transcript.split("\n").filter((text) => prompts.test(text))) {
    terminal.type(`${line.slice(2).replace("park.json", join(folder, "park.json"))}\r`);
    shown += await terminal.until(/\n(?:> |\. )$/);
  }
  expect(await terminal.end()).toBe(0);
  const timeless = (text: string) => text.replace(/[\d,.]+ tokens\/s/g, "tokens/s");
  // A machine that is slow shows how loading goes on, in a line that is then wiped.
  const begun = shown.slice(shown.indexOf(transcript.slice(0, transcript.indexOf("\n"))));
  const said = timeless(begun).replaceAll("\r\n", "\n").replaceAll(`${folder}/`, "");
  expect(said.replace(/> $/, "")).toBe(timeless(transcript));
});
