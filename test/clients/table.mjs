/** The table of clients and features in docs/api.md: written with `--write`, compared otherwise. */
import { readFileSync, writeFileSync } from "node:fs";
import { FEATURES } from "./features.mjs";

const FILE = new URL("../../docs/api.md", import.meta.url);
const PACKAGE = new URL("package.json", import.meta.url);
/** What is there beside the clients. */
const OTHER = new Set(["@langchain/core", "zod"]);
const BEGIN = "<!-- clients: made by npm run test:clients -- --write -->";
const END = "<!-- /clients -->";

/** @param results `[client, outcomes]`, in the order of the columns */
export function tableOf(results) {
  const sentences = [];
  const cell = (outcome) => {
    if (typeof outcome === "string") return outcome === "none" ? "–" : outcome;
    if (!sentences.includes(outcome.refused)) sentences.push(outcome.refused);
    return `refused (${sentences.indexOf(outcome.refused) + 1})`;
  };
  const rows = Object.entries(FEATURES).map(
    ([feature, title]) =>
      `| ${title} | ${results.map(([, outcomes]) => cell(outcomes[feature])).join(" | ")} |`,
  );
  const { node, ...packages } = JSON.parse(readFileSync(PACKAGE, "utf8")).dependencies;
  const versions = Object.entries(packages).filter(([name]) => !OTHER.has(name));
  return [
    `${versions.map(([name, version]) => `${name} ${version}`).join(", ")}; Node ${node}.`,
    "",
    `| | ${results.map(([{ name }]) => name).join(" | ")} |`,
    `|---|${results.map(() => "---").join("|")}|`,
    ...rows,
    "",
    ...sentences.map((sentence, i) => `${i + 1}. ${sentence.replaceAll("|", "\\|")}`),
  ].join("\n");
}

/** @returns whether the file has that table */
export function isInDocs(table) {
  const text = readFileSync(FILE, "utf8");
  return text.includes(`${BEGIN}\n\n${table}\n\n${END}`);
}

export function writeIntoDocs(table) {
  const text = readFileSync(FILE, "utf8");
  const [before, rest] = text.split(BEGIN);
  const after = rest.split(END)[1];
  writeFileSync(FILE, `${before}${BEGIN}\n\n${table}\n\n${END}${after}`);
}
