/**
 * GPT-2's own `vocab.json` and `merges.txt`, made from the ranks that js-tiktoken ships: a token's rank is its id, and
 * the merge that makes it joins the two pieces that lower-ranked merges leave of it.
 */
import gpt2Ranks from "js-tiktoken/ranks/gpt2";

const isPrintable = (byte: number) =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
let unprintable = 0;
const characterOfByte = Array.from({ length: 256 }, (_, byte) =>
  String.fromCharCode(isPrintable(byte) ? byte : 0x100 + unprintable++),
);

/** A byte string (one Latin-1 character for each byte) as a byte-level piece. */
function pieceOf(bytes: string): string {
  return Array.from(bytes, (character) => characterOfByte[character.charCodeAt(0)]).join("");
}

function readRanks(): Map<string, number> {
  const ranks = new Map<string, number>();
  for (const line of gpt2Ranks.bpe_ranks.split("\n")) {
    const [, first, ...tokens] = line.split(" ");
    for (const [i, token] of tokens.entries()) ranks.set(atob(token), Number(first) + i);
  }
  return ranks;
}

/** The two pieces that merges of a lower rank leave of a token. */
function lastMerge(token: string, rank: number, ranks: ReadonlyMap<string, number>): [string, string] {
  let parts = Array.from(token);
  while (parts.length > 2) {
    let best = { at: -1, rank };
    for (let at = 0; at + 1 < parts.length; at++) {
      const joined = ranks.get(parts[at] + parts[at + 1]);
      if (joined !== undefined && joined < best.rank) best = { at, rank: joined };
    }
    if (best.at === -1) throw new Error(`no merges lead to ${JSON.stringify(token)}`);
    parts = [...parts.slice(0, best.at), parts[best.at] + parts[best.at + 1], ...parts.slice(best.at + 2)];
  }
  return [parts[0], parts[1]];
}

let files: Readonly<Record<string, string>> | null = null;

/** Made once for all files of tests that share a thread: it takes a second. */
export function gpt2VocabularyFiles(): Record<string, string> {
  files ??= madeFiles();
  return { ...files };
}

function madeFiles(): Record<string, string> {
  const ranks = readRanks();
  const vocab: Record<string, number> = {};
  const merges: string[] = [];
  for (const [token, rank] of [...ranks].sort((a, b) => a[1] - b[1])) {
    vocab[pieceOf(token)] = rank;
    if (token.length > 1) merges.push(lastMerge(token, rank, ranks).map(pieceOf).join(" "));
  }
  vocab["<|endoftext|>"] = gpt2Ranks.special_tokens["<|endoftext|>"];
  return { "vocab.json": JSON.stringify(vocab), "merges.txt": `#version: 0.2\n${merges.join("\n")}\n` };
}

/**
 * A pattern of js-tiktoken with the white space of the original, which is Unicode's White_Space: JavaScript's `\s`, which
 * js-tiktoken runs it with, has U+FEFF and has not U+0085.
 */
export function withUnicodeSpace(pattern: string): string {
  return pattern.replaceAll("\\s", "\\p{White_Space}").replaceAll("\\S", "\\P{White_Space}");
}

/** GPT-2's ranks for js-tiktoken, its words cut at that white space. */
export const gpt2RanksOfUnicode = { ...gpt2Ranks, pat_str: withUnicodeSpace(gpt2Ranks.pat_str) };
