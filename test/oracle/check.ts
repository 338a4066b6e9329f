/**
 * `npm run test:oracle`: what our grammars accept, llguidance accepts: random texts of all schemas that the tests know, and of
 * random ones, byte by byte. Where it is known to accept less than the schema, a schema is left out.
 */
import { schemaGrammar } from "../../src/grammar/json-schema/schema-grammar.js";
import { randomSchema } from "../grammars/random-schemas.js";
import { randomTexts, SCHEMAS } from "../grammars/schema-texts.js";
import { seededRandom } from "../seeded-random.js";

const RANDOM_SCHEMAS = 300;
const TEXTS = 20;
/** What it has not, or has in part: multiples below zero are none for it, nor is 12.0 where numbers have bounds. */
const LEFT_OUT = ["multipleOf", '"number"', "propertyNames", "(?", '"uri"', "maxProperties", "minProperties"];
const END = 256;

interface Parser {
  isTokenAllowed(token: number): boolean;
  isComplete(): boolean;
  advance(token: number): void;
  reset(grammar: object): void;
}

const {
  GuidanceParser,
}: { GuidanceParser: { create(grammar: object, tokenizer: object): Promise<Parser> } } = await import(
  "./node_modules/transformers-llguidance/dist/index.js" as string
);
// A token for each byte, named so that it reads it as that byte.
const bytes = Array.from({ length: 256 }, (_, byte) => [String.fromCharCode(0x100 + byte), byte]);
const end = {
  id: END,
  content: "<end>",
  special: true,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
};
const tokenizer = {
  vocab: Object.fromEntries([...bytes, [end.content, END]]),
  eos_token_id: END,
  added_tokens: [end],
};

const random = seededRandom(1);
const schemas = [
  ...SCHEMAS.map(([, schema]) => schema),
  ...Array.from({ length: RANDOM_SCHEMAS }, () => randomSchema(random)),
].filter((schema) => !LEFT_OUT.some((word) => JSON.stringify(schema).includes(word)));
let texts = 0;
for (const schema of schemas) {
  const grammar = {
    type: "json_schema",
    schema: { ...(schema as object), "x-guidance": { whitespace_flexible: false } },
  };
  const parser = await GuidanceParser.create(grammar, tokenizer);
  for (const text of randomTexts(schemaGrammar(schema), TEXTS, random)) {
    // Of others it miscounts the length now and then, by the way in which its package is given bytes.
    if (!/^[ -~]*$/.test(text)) continue;
    parser.reset(grammar);
    for (const [i, byte] of new TextEncoder().encode(text).entries()) {
      if (!parser.isTokenAllowed(byte))
        throw new Error(`it refuses ${text} at byte ${i}: ${JSON.stringify(schema)}`);
      parser.advance(byte);
    }
    // Where nothing can follow it has stopped, and may not be asked.
    if (!parser.isComplete() && !parser.isTokenAllowed(END))
      throw new Error(`it does not end behind ${text}: ${JSON.stringify(schema)}`);
    texts += 1;
  }
}
if (schemas.length < RANDOM_SCHEMAS / 3 || texts < schemas.length)
  throw new Error(`only ${texts} texts of ${schemas.length} schemas`);
process.stdout.write(`${texts} texts of ${schemas.length} schemas: llguidance accepts all\n`);
