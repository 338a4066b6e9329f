import { expect, test } from "vitest";
import { SCHEMAS } from "../../test/grammars/schema-texts.js";
import { schemaGrammar } from "./json-schema/schema-grammar.js";
import { packGrammar, unpackGrammar } from "./packed-grammar.js";

test("what is unpacked is what was packed, in two arrays of shared memory", () => {
  for (const [name, value] of SCHEMAS) {
    const grammar = schemaGrammar(value);
    const packed = packGrammar(grammar);
    for (const { buffer } of [packed.words, packed.bytes]) expect(buffer).toBeInstanceOf(SharedArrayBuffer);
    const { nodes, dfas, root } = unpackGrammar(structuredClone(packed));
    expect(root).toBe(grammar.root);
    expect([grammar.nodes.map((_, i) => nodes.at(i)), name]).toEqual([grammar.nodes, name]);
    for (const [i, dfa] of grammar.dfas.entries()) {
      expect(
        Object.entries(dfa).every(([key, of]) => String(dfas.at(i)![key as keyof typeof dfa]) === String(of)),
      ).toBe(true);
    }
  }
});
