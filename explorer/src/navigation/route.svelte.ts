/** Which view is open: the address's hash, so that a view can be linked to and the back button works. */
export const VIEWS = ["runs", "step", "cache", "next"] as const;
export type ViewName = (typeof VIEWS)[number];

class Route {
  view = $state<ViewName>(fromHash());

  constructor() {
    addEventListener("hashchange", () => {
      this.view = fromHash();
    });
  }

  open(view: ViewName): void {
    if (view !== this.view) location.hash = `#/${view}`;
    this.view = view;
  }
}

function fromHash(): ViewName {
  const name = location.hash.replace(/^#\//, "");
  return VIEWS.find((view) => view === name) ?? "runs";
}

export const route = new Route();
