/** Packages that an installation may lack: found at run time, by name. */
export class PackageMissingError extends Error {
  constructor(packageName: string, cause: unknown) {
    super(`the npm package ${packageName} is not installed`, { cause });
  }
}

/** @throws PackageMissingError; whatever else the package throws while it loads passes through */
export async function importOptional(packageName: string): Promise<unknown> {
  try {
    return await import(packageName);
  } catch (cause) {
    const isMissing = (cause as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND';
    throw isMissing ? new PackageMissingError(packageName, cause) : cause;
  }
}
