import type { TestProject } from 'vitest/node';

/** Begins the deploy that system tests need, so that it runs beside the component tests. */
export function setup(project: TestProject): void {
  // Its failure is reported to the first file that asks for the stack.
  void fetch(`${project.getProvidedContext().starter}/stack`).catch(() => {});
}
