/** Packages that an installation may lack: found at run time, by name. */
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(import.meta.url);

export class PackageMissingError extends Error {
  constructor(packageName: string, cause: unknown) {
    super(`the npm package ${packageName} is not installed`, { cause });
  }
}

/** @throws PackageMissingError; whatever the package throws while it loads passes through */
export const importOptional = async (packageName: string): Promise<unknown> =>
  import(pathToFileURL(resolvePackage(packageName)).href);

function resolvePackage(packageName: string): string {
  try {
    return require.resolve(packageName);
  } catch (cause) {
    throw new PackageMissingError(packageName, cause);
  }
}
