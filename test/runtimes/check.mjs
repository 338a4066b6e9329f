/** The same answers in Node, Deno and Bun: `npm run test:runtimes`. */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL(".", import.meta.url));
const bin = (name) => `${folder}node_modules/.bin/${name}`;
const RUNTIMES = {
  Node: [process.execPath],
  Deno: [bin("deno"), "run", "--allow-all", "--quiet"],
  Bun: [bin("bun"), "run"],
};

const answers = {};
for (const [name, [command, ...args]] of Object.entries(RUNTIMES)) {
  const output = execFileSync(command, [...args, `${folder}answer.mjs`], {
    encoding: "utf8",
    timeout: 120_000,
    env: { ...process.env, DENO_NO_UPDATE_CHECK: "1" },
  });
  answers[name] = JSON.parse(output.trim().split("\n").at(-1));
}
let failures = 0;
for (const name of ["Deno", "Bun"]) {
  for (const [what, expected] of Object.entries(answers.Node)) {
    if (answers[name][what] === expected) continue;
    failures += 1;
    process.stderr.write(`${name}, ${what}:\n  ${answers[name][what]}\nNode:\n  ${expected}\n`);
  }
  const served = answers[name]["over a socket"];
  if (served !== answers[name].streamed) {
    failures += 1;
    process.stderr.write(`${name} answers otherwise over its socket:\n  ${served}\n`);
  }
}
if (failures > 0) process.exit(1);
process.stdout.write(`${Object.keys(answers.Node).length} answers are the same in Node, Deno and Bun\n`);
