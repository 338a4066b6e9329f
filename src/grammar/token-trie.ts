/**
 * The tokens of a vocabulary by their bytes, as a tree in flat arrays, which crosses threads: nodes in the order of a walk
 * that goes down before it goes on, so that a subtree is a stretch of them.
 */
export interface TokenTrie {
  /** The bytes of all tokens, one after the other, and where each ends: (vocabulary). */
  readonly bytes: Uint8Array;
  readonly byteEnds: Int32Array;
  /** (nodes): the byte that leads to the node; that of the root, node 0, means nothing. */
  readonly byte: Uint8Array;
  /** (nodes): bytes from the root. */
  readonly depth: Uint16Array;
  /** (nodes): the first node behind its subtree. */
  readonly end: Int32Array;
  /** (nodes): a token with the bytes that lead here, −1: none. */
  readonly token: Int32Array;
  /** (vocabulary): another token with the same bytes, −1: none. */
  readonly alike: Int32Array;
  readonly maxDepth: number;
}

/** Longest token in bytes that is in a tree: longer ones are never chosen under a grammar. */
const MAX_TOKEN_BYTES = 1024;

/** The bytes of all tokens, one after the other, and where each ends. A token without bytes is never chosen under a grammar. */
export type TokenBytes = Pick<TokenTrie, "bytes" | "byteEnds">;

/** A token's bytes. */
export function bytesOfToken({ bytes, byteEnds }: TokenBytes, token: number): Uint8Array {
  return bytes.subarray(token === 0 ? 0 : byteEnds[token - 1], byteEnds[token]);
}

/**
 * Bytes that stand for a special token, which has no text: none that a text has, so that only the token itself goes on a
 * grammar that waits for them. A token whose own bytes begin like this (0xFF is no beginning of UTF-8) has to be left out.
 */
export function specialTokenBytes(id: number): Uint8Array {
  return Uint8Array.from([NO_TEXT, ...Array.from({ length: 5 }, (_, i) => (id >>> (7 * i)) & 0x7f)]);
}

/** A byte that no text has in UTF-8. */
export const NO_TEXT = 0xff;

/** Puts tokens' bytes together. */
export function tokenBytes(texts: readonly (Uint8Array | null)[]): TokenBytes {
  const byteEnds = new Int32Array(texts.length);
  let end = 0;
  texts.forEach((text, token) => {
    end += text?.length ?? 0;
    byteEnds[token] = end;
  });
  const bytes = new Uint8Array(end);
  texts.forEach((text, token) => {
    if (text !== null) bytes.set(text, byteEnds[token] - text.length);
  });
  return { bytes, byteEnds };
}

/** Builds the tree. */
export function tokenTrie(vocabulary: TokenBytes): TokenTrie {
  const vocabSize = vocabulary.byteEnds.length;
  const texts = Array.from({ length: vocabSize }, (_, token) => bytesOfToken(vocabulary, token));
  const tokens = [...texts.keys()].filter(
    (token) => texts[token].length > 0 && texts[token].length <= MAX_TOKEN_BYTES,
  );
  tokens.sort((a, b) => compareBytes(texts[a], texts[b]) || a - b);
  const most = 1 + tokens.reduce((sum, token) => sum + texts[token].length, 0);
  const byte = new Uint8Array(most);
  const depth = new Uint16Array(most);
  const end = new Int32Array(most);
  const token = new Int32Array(most).fill(-1);
  const alike = new Int32Array(vocabSize).fill(-1);
  const path = [0];
  let count = 1;
  let before: Uint8Array = new Uint8Array(0);
  for (const number of tokens) {
    const text = texts[number];
    const shared = sharedBytes(before, text);
    while (path.length > shared + 1) end[path.pop() ?? 0] = count;
    for (let i = shared; i < text.length; i++) {
      byte[count] = text[i];
      depth[count] = i + 1;
      path.push(count);
      count += 1;
    }
    const last = path[text.length];
    alike[number] = token[last];
    token[last] = number;
    before = text;
  }
  for (const node of path) end[node] = count;
  return {
    ...vocabulary,
    ...{ byte: byte.slice(0, count), depth: depth.slice(0, count), end: end.slice(0, count) },
    ...{
      token: token.slice(0, count),
      alike,
      maxDepth: depth.subarray(0, count).reduce((a, b) => Math.max(a, b), 0),
    },
  };
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}

function sharedBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  let i = 0;
  while (i < length && a[i] === b[i]) i += 1;
  return i;
}
