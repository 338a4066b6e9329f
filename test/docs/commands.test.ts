/** Every command line that the pages show is one that there is: its command, and each of its options. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { run } from "../cli/captured-io.js";

const root = fileURLToPath(new URL("../../", import.meta.url));
const pages = [
  ...["README.md", "README.zh-CN.md", "deploy/README.md"],
  ...readdirSync(join(root, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];

/** What follows `lastrow` in the shell's code, up to a comment, a pipe or a redirection. */
function commandsOf(page: string): string[] {
  const text = readFileSync(join(root, page), "utf8").replaceAll("\\\n", " ");
  const shell = [...text.matchAll(/^```(?:sh)?\n([\s\S]*?)^```$/gm)].flatMap(([, code]) => code.split("\n"));
  return shell.flatMap((line) => {
    const found = /^(?:\$ )?(?:.*\| )?(?:npx )?lastrow (.*)$/.exec(line.replace(/\s+# .*$/, ""));
    return found === null ? [] : [found[1].replace(/ [<>|] .*$/, "")];
  });
}

const helps = new Map<string, string>();

async function helpOf(command: string): Promise<string> {
  let help = helps.get(command);
  if (help === undefined) {
    const { exitCode, stdout } = await run([...command.split(" "), "--help"]);
    expect({ command, exitCode }).toEqual({ command, exitCode: 0 });
    help = stdout;
    helps.set(command, help);
  }
  return help;
}

test("the pages' commands and options are the program's", async () => {
  const lines = pages.flatMap((page) => commandsOf(page).map((line) => ({ page, line })));
  expect(lines.length).toBeGreaterThan(50);
  const wrong: string[] = [];
  for (const { page, line } of lines) {
    const [command] = /^(?:models rm|[a-z]+)/.exec(line) ?? [""];
    const help = await helpOf(command);
    const options = [...line.replace(/"[^"]*"|'[^']*'/g, '""').matchAll(/(?<= )--[a-z-]+/g)];
    for (const [option] of options) {
      if (!new RegExp(`^ +(?:-\\w, )?${option}\\b`, "m").test(help))
        wrong.push(`${page}: ${line}: ${option}`);
    }
  }
  expect(wrong).toEqual([]);
});
