/** What the files of deploy/ say, as the tests compare it with the code. */
import { readFileSync } from "node:fs";
import { parseAllDocuments } from "yaml";
import { run } from "../cli/captured-io.js";

/** What a file in YAML says has no type. */
// biome-ignore lint/suspicious/noExplicitAny: see above
export type Yaml = any;

export const read = (path: string) => readFileSync(new URL(`../../deploy/${path}`, import.meta.url), "utf8");

/** The documents of a file. */
export function yaml(path: string): Yaml[] {
  return parseAllDocuments(read(path), { merge: true }).map((document) => {
    if (document.errors.length > 0) throw document.errors[0];
    return document.toJS();
  });
}

/** An object of a file for Kubernetes. */
export function kubernetes(file: string, kind: string): Yaml {
  const found = yaml(`kubernetes/${file}.yaml`).filter((object) => object.kind === kind);
  if (found.length !== 1) throw new Error(`${file} has ${found.length} of the kind ${kind}`);
  return found[0];
}

/** The container of a pod. */
export const containerOf = (object: Yaml): Yaml => object.spec.template.spec.containers[0];

/** Words that systemd runs a server with. */
export function unitCommand(): string[] {
  const unit = read("systemd/lastrow@.service").replaceAll("\\\n", " ");
  const [, command] = /^ExecStart=(.*)$/m.exec(unit)!;
  return command.trim().split(/\s+/);
}

/** Values of options, `--name value` and `--name=value`. */
export function optionsOf(words: readonly string[]): Map<string, string> {
  const options = new Map<string, string>();
  for (const [i, word] of words.entries()) {
    const [, name, value] = /^(--[\w-]+)(?:=(.*))?$/.exec(word) ?? [];
    if (name !== undefined) options.set(name, value ?? words[i + 1]);
  }
  return options;
}

/** Every server that the files start: what by, and its options. */
export function servers(): { readonly by: string; readonly options: Map<string, string> }[] {
  const { services } = yaml("compose.yaml")[0];
  const composed = Object.keys(services).filter((name) => name.startsWith("lastrow"));
  return [
    ...composed.map((name) => ({ by: name, options: optionsOf(services[name].command) })),
    { by: "Kubernetes", options: optionsOf(containerOf(kubernetes("lastrow", "StatefulSet")).args) },
    { by: "systemd", options: optionsOf(unitCommand()) },
  ];
}

/** The options that `lastrow serve` has, by its help. */
export async function serveOptions(): Promise<Set<string>> {
  const { stdout } = await run(["serve", "--help"]);
  return new Set([...stdout.matchAll(/^\s+(?:-\w, )?(--[\w-]+)/gm)].map(([, name]) => name));
}
