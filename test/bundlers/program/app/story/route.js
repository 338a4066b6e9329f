/** A route handler: the model runs in the server. */
import { load } from "lastrow";

export const dynamic = "force-dynamic";

export async function GET() {
  const lm = await load();
  const { text } = await lm.generate("Once upon a time", { maxTokens: 12, seed: 3 }).result();
  const { worker } = lm.info;
  await lm.dispose();
  return Response.json({ text, worker });
}
