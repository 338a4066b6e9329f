/** OpenAI's API as a route of Next.js. */
import { createServer } from "lastrow/server";

let server = null;

async function answer(request) {
  server ??= createServer({ threads: 1 });
  return (await server).fetch(request);
}

export { answer as GET, answer as POST };
