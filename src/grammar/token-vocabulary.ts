/**
 * A vocabulary, ready for grammars: the tree of its tokens, and what the automata of plain JSON strings reach in it. Most
 * schemas have those, and a walk of one through a large tree takes as long as all else of a mask.
 */
import { SCHEMA_LIMITS } from "./json-schema/schema-limits.js";
import { ANY_STRING, SchemaStrings } from "./json-schema/strings.js";
import { inSharedMemory } from "./shared-memory.js";
import { type AutomatonReaches, reachesOf } from "./token-mask.js";
import { type TokenBytes, type TokenTrie, tokenTrie } from "./token-trie.js";
import { Work } from "./work.js";

export interface TokenVocabulary {
  readonly trie: TokenTrie;
  readonly reaches: readonly AutomatonReaches[];
}

export function tokenVocabulary(bytes: TokenBytes): TokenVocabulary {
  const trie = tokenTrie(bytes);
  const strings = new SchemaStrings(SCHEMA_LIMITS, new Work());
  const anyString = strings.string(ANY_STRING);
  return inSharedMemory({
    trie,
    reaches: [
      reachesOf(trie, strings.character(), true),
      ...(anyString === null ? [] : [reachesOf(trie, anyString, false)]),
    ],
  });
}
