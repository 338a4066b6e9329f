/** Whether the page comes from a server of lastrow's, which has a model, and a page to talk to it, beside this one. */
class ServedModel {
  isThere = $state(false);

  /** Asks once; a page on any other host has nothing beside it. */
  async look(): Promise<void> {
    if (!location.pathname.endsWith("/explorer/")) return;
    const answer = await fetch("../health").catch(() => null);
    const isJson = answer?.headers.get("content-type")?.startsWith("application/json") === true;
    this.isThere = answer?.ok === true && isJson;
  }
}

export const servedModel = new ServedModel();
