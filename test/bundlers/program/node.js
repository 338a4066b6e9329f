/** A program for Node: the library and the server, in one bundle, and every thread that they start. */
import { load } from "lastrow";
import { createServer } from "lastrow/server";

async function main() {
  const lm = await load();
  const { text } = await lm.generate("Once upon a time", { maxTokens: 12, seed: 3 }).result();
  const { worker } = lm.info;
  const chat = await lm.chat([], { template: "{{ messages[0].content }}" });
  const reply = await chat.reply("Once upon a time", { maxTokens: 12, seed: 3 }).result();
  await lm.dispose();

  const server = await createServer({ threads: 1 });
  const answer = await server.fetch(
    new Request("http://127.0.0.1:8080/v1/completions", {
      method: "POST",
      headers: { "content-type": "application/json" },
      // As long as those that are read in a thread.
      body: JSON.stringify({ prompt: "Once upon a time", max_tokens: 12, seed: 3 }) + " ".repeat(900_000),
    }),
  );
  const served = (await answer.json()).choices?.[0].text;
  await server.dispose();
  process.stdout.write(`${JSON.stringify({ text, worker, replied: reply.tokens.length, served })}\n`);
}

main();
