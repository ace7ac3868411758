package loader

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"
)

// The test binary is also the processes that tests start: the program with its
// bench command, a fake S3, and one that burns CPU.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "bench":
			root := &cobra.Command{Use: "troupe"}
			root.AddCommand(Command())
			if root.Execute() != nil {
				os.Exit(1)
			}
			os.Exit(0)
		case "fake-s3":
			os.Exit(fakeProcess(os.Args[2:]))
		case "burn":
			os.Exit(burn())
		}
	}
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1.1"),
		// fasthttp's idle workers are swept by a goroutine that notices a stop only
		// when it wakes up, within 10 s.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	)
}

// fakeProcess serves the fake S3 until SIGTERM. Its arguments are a directory, which
// must be there, two addresses, and how much CPU time every request is to cost.
func fakeProcess(args []string) int {
	directory, native, s3 := args[0], args[1], args[2]
	if status, err := os.Stat(directory); err != nil || !status.IsDir() {
		fmt.Println("the directory was not made:", err)
		return 3
	}
	fake := newFakeS3()
	fake.debts = []int64{0}
	if len(args) > 3 {
		slow, err := time.ParseDuration(args[3])
		if err != nil {
			fmt.Println(err)
			return 6
		}
		fake.slow = slow
	}
	for _, address := range []string{s3, native} {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			fmt.Println(err)
			return 4
		}
		server := fasthttp.Server{Handler: fake.handle, MaxRequestBodySize: 16 << 20, ReadBufferSize: 32 << 10}
		go func() {
			if err := server.Serve(listener); err != nil {
				fmt.Println(err)
				os.Exit(5)
			}
		}()
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	<-end
	return 0
}

// burn uses 300 ms of CPU time in threads that end, says what getrusage counted,
// and waits for the end of its input.
func burn() int {
	done := make(chan struct{})
	for range 3 {
		go func() {
			// A goroutine that ends while locked takes its thread with it.
			lockThread()
			until := threadTime() + 100*time.Millisecond
			for threadTime() < until {
			}
			done <- struct{}{}
		}()
	}
	for range 3 {
		<-done
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 1
	}
	fmt.Println(usage.Utime.Nano() + usage.Stime.Nano())
	if _, err := os.Stdin.Read(make([]byte, 1)); err == nil {
		return 2
	}
	return 0
}
