/**
 * Names of models on the Hub: `distilgpt2`, `openai-community/gpt2`, a revision after `@`. Names become parts of paths
 * and of addresses, so what passes here is harmless in both.
 */
import { LastrowError } from "../errors.js";
import { quoteValue } from "../quote-value.js";

export interface HubName {
  /** `name` or `organisation/name`. */
  readonly repo: string;
  /** A branch, a tag, `refs/pr/1`, or a commit; `main` where the name has none. */
  readonly revision: string;
}

const DEFAULT_REVISION = "main";
/** As `validate_repo_id` of huggingface_hub has it. */
const MAX_REPO_LENGTH = 96;
/** Keeps `refs/<revision>` within what file systems take as one name. */
const MAX_REVISION_LENGTH = 200;
/** Letters, digits, `_`, `.` and `-`, with a word character at both ends. */
const REPO_PART = /^\w(?:[\w.-]*\w)?$/;
/** A part of a git reference between slashes, without the characters that a file name cannot have everywhere. */
const REVISION_PART = /^[\w+=@-](?:[\w.+=@-]*[\w+=@-])?$/;

/** Whether `parseHubName` takes the name. Says nothing about whether the Hub has such a model. */
export function isHubName(name: string): boolean {
  return split(name) !== null;
}

/**
 * Splits a Hub name at its first `@`.
 * @throws LastrowError `invalid_argument` when it is not a Hub name
 */
export function parseHubName(name: string): HubName {
  const parts = split(name);
  if (parts !== null) return parts;
  throw new LastrowError(
    "invalid_argument",
    `${quoteValue(name)} is not a Hub name; expected a repository such as openai-community/gpt2, and after an @ a branch, a tag or a commit.`,
  );
}

/** Whether a revision is a whole commit hash, which no branch or tag can move. */
export function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision);
}

function split(name: string): HubName | null {
  const at = name.indexOf("@");
  const repo = at === -1 ? name : name.slice(0, at);
  const revision = at === -1 ? DEFAULT_REVISION : name.slice(at + 1);
  return isRepo(repo) && isRevision(revision) ? { repo, revision } : null;
}

function isRepo(repo: string): boolean {
  const parts = repo.split("/");
  if (repo.length > MAX_REPO_LENGTH || parts.length > 2 || !parts.every((part) => REPO_PART.test(part))) {
    return false;
  }
  // `--` stands for the slash in the cache's folder names.
  return !repo.includes("--") && !repo.includes("..") && !repo.endsWith(".git");
}

function isRevision(revision: string): boolean {
  if (revision.length > MAX_REVISION_LENGTH || revision.includes("..")) return false;
  return revision.split("/").every((part) => REVISION_PART.test(part) && !part.endsWith(".lock"));
}
