/**
 * Objects of a schema of Zod, as openai, the AI SDK and LangChain ask for them, of the embedded model: it knows nothing
 * of JSON, so that each is right because it was held to the schema that the client sent.
 */
import { deepStrictEqual, ok } from "node:assert/strict";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { ChatOpenAI } from "@langchain/openai";
import { generateText, Output, streamText } from "ai";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { createServer, listen } from "../../dist/server/index.js";

const PET = z.object({
  name: z.string().max(8),
  kind: z.enum(["cat", "dog"]),
  ages: z.array(z.int().min(0).max(30)).max(2),
  id: z.uuid(),
  born: z.iso.date().nullable(),
});
const TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: ";
const messages = [{ role: "user", content: "A pet?" }];

const server = await createServer({ threads: 1, chatTemplate: TEMPLATE });
const listening = await listen(server, { host: "127.0.0.1", port: 0 });
const baseURL = `${listening.url}/v1`;
const ofClient = {
  async openai() {
    const client = new OpenAI({ apiKey: "none", baseURL });
    const request = { model: "stories", messages, max_tokens: 200, seed: 1 };
    const response_format = zodResponseFormat(PET, "pet");
    const { choices } = await client.chat.completions.parse({ ...request, response_format });
    const streamed = await client.chat.completions
      .stream({ ...request, response_format })
      .finalChatCompletion();
    deepStrictEqual(streamed.choices[0].message.parsed, choices[0].message.parsed);
    return choices[0].message.parsed;
  },
  async "AI SDK, openai"() {
    const model = createOpenAI({ apiKey: "none", baseURL }).chat("stories");
    const request = { model, messages, maxOutputTokens: 200, output: Output.object({ schema: PET }) };
    return (await generateText(request)).output;
  },
  async "AI SDK, openai-compatible, streamed"() {
    const provider = createOpenAICompatible({ name: "lastrow", baseURL, supportsStructuredOutputs: true });
    const request = { model: provider("stories"), messages, maxOutputTokens: 200 };
    return await streamText({ ...request, output: Output.object({ schema: PET }) }).output;
  },
  async LangChain() {
    const model = new ChatOpenAI({
      model: "stories",
      apiKey: "none",
      maxTokens: 200,
      configuration: { baseURL },
    });
    return model.withStructuredOutput(PET, { method: "jsonSchema", name: "pet" }).invoke("A pet?");
  },
};
let failures = 0;
for (const [name, ask] of Object.entries(ofClient)) {
  try {
    const pet = await ask();
    deepStrictEqual(pet, PET.parse(pet));
    ok(pet.id.length === 36);
    process.stdout.write(`${name}: ${JSON.stringify(pet)}\n`);
  } catch (error) {
    failures += 1;
    process.stderr.write(`${name}: ${error.stack}\n`);
  }
}
await listening.close(0);
await server.dispose();
process.exitCode = failures === 0 ? 0 : 1;
