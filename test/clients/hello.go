// Hello is the program in the images that the clients push: it shows that what was pulled still runs.
package main

import (
	"fmt"
	"os"
)

func main() {
	message, err := os.ReadFile("/message.txt")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(string(message))
}
