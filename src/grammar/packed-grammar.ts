/**
 * A grammar on its way between threads: its nodes, of which there may be a hundred thousand, as one text, so that the
 * threads that only pass it on are not held up by copying each.
 */
import type { Dfa } from "./dfa.js";
import type { Grammar, GrammarNode } from "./grammar.js";

export interface PackedGrammar {
  readonly nodes: string;
  readonly dfas: readonly Dfa[];
  readonly root: number;
}

export function packGrammar({ nodes, dfas, root }: Grammar): PackedGrammar {
  const text = JSON.stringify(nodes, (_, value: unknown) =>
    value instanceof Uint8Array ? [...value] : value === Number.POSITIVE_INFINITY ? "unbounded" : value,
  );
  return { nodes: text, dfas, root };
}

export function unpackGrammar({ nodes, dfas, root }: PackedGrammar): Grammar {
  const plain = JSON.parse(nodes, (key, value: unknown) =>
    key === "bytes"
      ? Uint8Array.from(value as number[])
      : value === "unbounded"
        ? Number.POSITIVE_INFINITY
        : value,
  );
  return { nodes: plain as readonly GrammarNode[], dfas, root };
}
