/** `lastrow models`: what is in the Hub cache that the project shares with Python's tools, and removing from it. */
import { createInterface } from "node:readline/promises";
import { LastrowError } from "../../errors.js";
import { ggufModels } from "../../formats/gguf-names.js";
import { planRemoval, type Removal, remove, shownRevision } from "../../hub/cache-removal.js";
import { type CachedRepo, type CachedRevision, cachedRepos } from "../../hub/cached-repos.js";
import { readHubSettings } from "../../hub/hub-settings.js";
import { formatMemorySize } from "../../memory-size.js";
import { printable } from "../../printable.js";
import { toJson } from "../json.js";
import type { OutputOptions } from "../options.js";
import { renderTable } from "../table.js";
import { coloursFor, type Io, tellAside, write } from "../terminal.js";

export type ModelsCommandOptions = OutputOptions;

export interface RemoveCommandOptions extends OutputOptions {
  /** Does not ask. */
  readonly yes?: boolean | undefined;
}

/** @returns the exit code */
export async function listModels(options: ModelsCommandOptions, io: Io): Promise<number> {
  const { cacheFolder, repos } = await cached(io);
  const bytes = repos.reduce((sum, repo) => sum + repo.bytes, 0);
  if (options.json === true) {
    await write(io, `${toJson({ cacheFolder, bytes, models: repos.map(jsonOf) })}\n`);
    return 0;
  }
  const { bold, dim } = coloursFor(io.stdout, io.env);
  const where = printable(cacheFolder);
  if (repos.length === 0) {
    await write(io, `No models are downloaded; they would be in ${where}.\n`);
    return 0;
  }
  const colours = coloursFor(io.stdout, io.env);
  const rows = repos.flatMap((repo) => rowsOf(repo, bold, dim));
  const table = renderTable(colours, { head: ["size", "used", "model"], rows, rightAligned: [0] });
  const count = repos.length === 1 ? "1 model" : `${repos.length} models`;
  await write(io, `${table}\n\n${dim(`${count}, ${formatMemorySize(bytes)}, in ${where}`)}\n`);
  return 0;
}

/**
 * @param names as `--model` takes them, of what is to be removed
 * @returns the exit code: 1 when the answer is no
 * @throws LastrowError `invalid_argument` for a name of nothing that is there, and where there is no terminal to ask on
 */
export async function removeModels(
  names: readonly string[],
  options: RemoveCommandOptions,
  io: Io,
): Promise<number> {
  const { repos, cacheFolder } = await cached(io);
  const plans = [...new Set(names)].map((name) => planRemoval(repos, name));
  for (const [i, { repo }] of plans.entries()) {
    const other = plans.findIndex((plan) => plan.repo === repo);
    if (other === i) continue;
    throw new LastrowError(
      "invalid_argument",
      `${plans[other].name} and ${plans[i].name} are of one repository; remove one after the other.`,
    );
  }
  if (options.yes !== true && !(await isWanted(plans, io))) {
    tellAside(io, "Nothing was removed.");
    return 1;
  }
  const done: Removal[] = [];
  for (const plan of plans) {
    io.signal.throwIfAborted();
    // As it is by now: the question may have stood there for long.
    const [repo] = (await cachedRepos(cacheFolder)).filter(({ name }) => name === plan.repo.name);
    const fresh = planRemoval(repo === undefined ? [] : [repo], plan.name);
    await orDiskError(remove(fresh), plan.name);
    done.push(fresh);
    if (options.json !== true) await write(io, `Removed ${wordsOf(fresh)}.\n`);
  }
  const sharedBytes = done.reduce((sum, plan) => sum + plan.sharedBytes, 0);
  if (options.json === true) {
    const removed = done.map(({ repo, revisions, bytes, isWhole }) => ({
      name: repo.name,
      isWhole,
      revisions: revisions.map(({ revision, paths }) => ({ commit: revision.commit, files: paths })),
      bytes,
    }));
    const bytes = done.reduce((sum, plan) => sum + plan.bytes, 0);
    await write(io, `${toJson({ removed, bytes, sharedBytes })}\n`);
  }
  if (sharedBytes > 0) {
    tellAside(
      io,
      `${formatMemorySize(sharedBytes)} of it may lie in the store that Python's tools share among repositories (${cacheFolder}/blobs); they free it when nothing needs it.`,
    );
  }
  return 0;
}

async function cached(io: Io): Promise<{ cacheFolder: string; repos: CachedRepo[] }> {
  const { cacheFolder } = await readHubSettings(io.env);
  return { cacheFolder, repos: await orDiskError(cachedRepos(cacheFolder), cacheFolder) };
}

async function orDiskError<T>(work: Promise<T>, what: string): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    if (!(cause instanceof Error && "syscall" in cause)) throw cause;
    throw new LastrowError("invalid_argument", `${what}: ${cause.message}.`, { cause });
  }
}

/** Asks, on standard error. An end of the input is a no. */
async function isWanted(plans: readonly Removal[], io: Io): Promise<boolean> {
  if (io.stdin.isTTY !== true || io.stderr.isTTY !== true) {
    throw new LastrowError(
      "invalid_argument",
      "This is not a terminal, so lastrow cannot ask whether that is meant: add --yes to remove without a question.",
    );
  }
  const question = `Remove ${plans.map(wordsOf).join(", and ")}? [y/N] `;
  const lines = createInterface({ input: io.stdin, output: io.stderr });
  try {
    const ended = new Promise<string>((resolve) => lines.once("close", () => resolve("")));
    // Ctrl-C at the question ends the program, not only the question.
    lines.on("SIGINT", () => process.kill(process.pid, "SIGINT"));
    const answer = await Promise.race([lines.question(question, { signal: io.signal }), ended]);
    return /^\s*(y|yes)\s*$/i.test(answer);
  } finally {
    lines.close();
  }
}

/** `openai-community/gpt2 (548 MB)` */
function wordsOf({ name, repo, isWhole, revisions, bytes }: Removal): string {
  const partly = isWhole ? null : revisions.flatMap(({ paths }) => paths ?? []).join(", ");
  const several = isWhole && repo.revisions.length > 1 ? `, ${repo.revisions.length} revisions` : "";
  const what = partly === null || partly === "" ? "" : `: ${printable(partly)}`;
  return `${printable(name)}${what} (${formatMemorySize(bytes)}${several})`;
}

type Style = (text: string) => string;

function rowsOf(repo: CachedRepo, bold: Style, dim: Style): string[][] {
  const { revisions, problem, unfinishedBytes, isDownloading, lostRefs, lastUsed } = repo;
  const notes: string[] = [];
  if (problem !== null) notes.push(`cannot be read: ${problem}`);
  if (isDownloading) notes.push(`is being downloaded: ${formatMemorySize(unfinishedBytes)} so far`);
  else if (unfinishedBytes > 0) notes.push(`${formatMemorySize(unfinishedBytes)} of an unfinished download`);
  if (lostRefs.length > 0) notes.push(`${lostRefs.map(printable).join(", ")}: its commit is not here`);
  if (revisions.length === 0 && problem === null && unfinishedBytes === 0) notes.push("nothing is in it");
  const revisionLines = revisions.map((revision) => {
    const missing = revision.files.filter(({ bytes }) => bytes === null).length;
    const parts = [
      `@${printable(shownRevision(revision))}`,
      kindOf(revision),
      // Where there is one, it has the size of the whole.
      ...(revisions.length > 1 ? [formatMemorySize(revision.bytes)] : []),
      ...(missing > 0 ? [missing === 1 ? "1 file is missing" : `${missing} files are missing`] : []),
    ];
    return parts.join("  ");
  });
  const model = [bold(printable(repo.name)), ...[...revisionLines, ...notes].map((line) => dim(`  ${line}`))];
  return [[formatMemorySize(repo.bytes), lastUsed === null ? "" : agoWords(lastUsed), model.join("\n")]];
}

/** What a revision holds: which GGUF models, or what else. */
function kindOf({ files }: CachedRevision): string {
  const paths = files.map(({ path, bytes }) => ({ path, size: bytes ?? 0 }));
  const types = ggufModels(paths).map(({ tag, paths: [first] }) => tag ?? first);
  if (types.length > 0) return `GGUF ${types.map(printable).join(", ")}`;
  if (paths.some(({ path }) => path.endsWith(".safetensors"))) return "safetensors";
  return "no weights that lastrow reads";
}

const UNITS = [
  ["year", 365],
  ["month", 30],
  ["week", 7],
  ["day", 1],
] as const;

/** `today`, `yesterday`, `3 days ago`, `5 weeks ago` */
function agoWords(then: Date): string {
  const days = Math.max(0, Math.floor((Date.now() - then.getTime()) / 86_400_000));
  const [unit, length] = UNITS.find(([, of]) => days >= 2 * of) ?? UNITS[UNITS.length - 1];
  return new Intl.RelativeTimeFormat("en", { numeric: "auto" })
    .format(-Math.floor(days / length), unit)
    .replace(/^in 0 \w+$/, "today");
}

function jsonOf(repo: CachedRepo) {
  const { name, bytes, unfinishedBytes, isDownloading, lastUsed, revisions, lostRefs, problem } = repo;
  return {
    ...{ name, bytes, unfinishedBytes, isDownloading, lastUsed: lastUsed?.toISOString() ?? null },
    revisions: revisions.map(({ commit, refs, bytes: own, files }) => ({
      ...{ commit, refs, bytes: own },
      files: files.map(({ path, bytes: size }) => ({ path, bytes: size })),
    })),
    ...{ lostRefs, problem },
  };
}
