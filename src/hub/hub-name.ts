/**
 * Names of models on the Hub: `distilgpt2`, `openai-community/gpt2`; one of a repository's GGUF files by its type or its
 * path, `Qwen/Qwen3-0.6B-GGUF:Q8_0`, `Qwen/Qwen3-0.6B-GGUF/Qwen3-0.6B-Q8_0.gguf`; a revision after `@`, at the end of any
 * of them. Names become parts of paths and of addresses, so what passes here is harmless in both.
 */
import { LastrowError } from "../errors.js";
import { isGgufName } from "../formats/gguf-names.js";
import { quoteValue } from "../quote-value.js";

export interface HubName {
  /** `name` or `organisation/name`. */
  readonly repo: string;
  /** A branch, a tag, `refs/pr/1`, or a commit; `main` where the name has none. */
  readonly revision: string;
  /** Which GGUF file is asked for; null where the name leaves that to the repository. */
  readonly gguf: { readonly tag: string } | { readonly path: string } | null;
}

export const DEFAULT_REVISION = "main";
/** As `validate_repo_id` of huggingface_hub has it. */
const MAX_REPO_LENGTH = 96;
/** Keeps `refs/<revision>` within what file systems take as one name. */
const MAX_REVISION_LENGTH = 200;
const MAX_TAG_LENGTH = 64;
const MAX_PATH_LENGTH = 255;
/** Letters, digits, `_`, `.` and `-`, with a word character at both ends. */
const REPO_PART = /^\w(?:[\w.-]*\w)?$/;
/** A part of a git reference between slashes, without the characters that a file name cannot have everywhere. */
const REVISION_PART = /^[\w+=@-](?:[\w.+=@-]*[\w+=@-])?$/;
/** A part of a path that is the same file everywhere: nothing hidden, no drive, no way up, nothing that does not show. */
const PATH_PART = /^(?!\.)[^\p{C}/\\:*?"<>|]*[^\p{C}/\\:*?"<>|. ]$/u;
/** `:Q8_0/model.gguf`, which could be a folder, too; `/model.gguf:Q8_0`. */
const TYPE_AND_FILE = /^:[^:/]+\/.*\.gguf$|\.gguf:[^:/]+$/i;
/** The Hub's own addresses, as other programs take them before a name. */
const HUB_PREFIX = /^(?:hf\.co|huggingface\.co)\//;

/** Whether a name is meant for the Hub: `parseHubName` takes it, or says what to change. Says nothing about what the Hub has. */
export function isHubName(name: string): boolean {
  return split(name) !== null;
}

/**
 * Reads a Hub name. What comes after its first `@` is the revision.
 * @throws LastrowError `invalid_argument` when it is not a Hub name, or one whose parts are in another order
 */
export function parseHubName(name: string): HubName {
  const parts = split(name);
  if (parts !== null && typeof parts === "object") return parts;
  throw new LastrowError(
    "invalid_argument",
    `${quoteValue(name)} is not a Hub name; ${parts ?? "expected a repository such as openai-community/gpt2, after a colon the type of a GGUF file (:Q8_0) or after a slash its name, and after an @ a branch, a tag or a commit"}.`,
  );
}

/** Whether a revision is a whole commit hash, which no branch or tag can move. */
export function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision);
}

/** Whether a file of a repository can be kept under its own path, in any file system. */
export function isSafePath(path: string): boolean {
  return path.length <= MAX_PATH_LENGTH && path.split("/").every((part) => PATH_PART.test(part));
}

/** A name's parts; for one whose parts are in another order what to do; null for what is no Hub name. */
function split(given: string): HubName | string | null {
  const name = given.replace(HUB_PREFIX, "");
  const at = name.indexOf("@");
  const model = at === -1 ? name : name.slice(0, at);
  const revision = at === -1 ? DEFAULT_REVISION : name.slice(at + 1);
  const [, repo, end] = /^([^:/]*(?:\/[^:/]*)?)(.*)$/s.exec(model)!;
  if (!isRepo(repo)) return null;
  const gguf = readFile(end);
  if (gguf === undefined) {
    return TYPE_AND_FILE.test(end)
      ? "a GGUF file is asked for by its type or by its name, not by both"
      : null;
  }
  // A branch may be called almost anything, but not this.
  if (at !== -1 && (revision.includes(":") || isGgufName(revision))) {
    return "the revision comes at the end, as in org/model-GGUF:Q8_0@main or org/model-GGUF/model-Q8_0.gguf@main";
  }
  if (!isRevision(revision)) return null;
  return { repo, revision, gguf };
}

/** What follows a repository's name: `:TAG`, `/path.gguf`, `:file.gguf` or nothing; undefined for anything else. */
function readFile(end: string): HubName["gguf"] | undefined {
  if (end === "") return null;
  if (TYPE_AND_FILE.test(end)) return undefined;
  const rest = end.slice(1);
  if (isGgufName(rest)) return isSafePath(rest) ? { path: rest } : undefined;
  const isTag = end.startsWith(":") && rest.length <= MAX_TAG_LENGTH && REPO_PART.test(rest);
  return isTag ? { tag: rest } : undefined;
}

function isRepo(repo: string): boolean {
  const parts = repo.split("/");
  if (repo.length > MAX_REPO_LENGTH || !parts.every((part) => REPO_PART.test(part))) return false;
  // A file in this folder: repositories without an organisation are old, and none is called so.
  if (parts.length === 1 && isGgufName(repo)) return false;
  // `--` stands for the slash in the cache's folder names.
  return !repo.includes("--") && !repo.includes("..") && !repo.endsWith(".git");
}

function isRevision(revision: string): boolean {
  if (revision.length > MAX_REVISION_LENGTH || revision.includes("..")) return false;
  return revision.split("/").every((part) => REVISION_PART.test(part) && !part.endsWith(".lock"));
}
