/** Bytes that several may hold at a time. */
export interface ByteBudget {
  /** Runs `work` once so many bytes are free, in the order of the calls. One that needs more than all runs alone. */
  hold<T>(bytes: number, work: () => Promise<T>): Promise<T>
}

export function createByteBudget(total: number): ByteBudget {
  let free = total
  const waiting: { bytes: number; go(): void }[] = []

  function letIn(): void {
    for (let next = waiting[0]; next && next.bytes <= free; next = waiting[0]) {
      waiting.shift()
      free -= next.bytes
      next.go()
    }
  }

  async function hold<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    const share = Math.min(bytes, total)
    await new Promise<void>(go => {
      waiting.push({ bytes: share, go })
      letIn()
    })
    try {
      return await work()
    } finally {
      free += share
      letIn()
    }
  }

  return { hold }
}
