package cli

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects/errs"
)

// versionPatience bounds the question who the server is.
const versionPatience = 3 * time.Second

// versionDocument is the JSON of `troupe version`.
type versionDocument struct {
	Client string `json:"client"`
	Go     string `json:"go"`
	// Server is what the S3 endpoint calls itself; absent if none was reached.
	Server   string `json:"server,omitempty"`
	Endpoint string `json:"endpoint"`
	// Unreachable says why there is no Server.
	Unreachable string `json:"unreachable,omitempty"`
}

func versionCommand(f *frame) *cobra.Command {
	clientOnly := false
	command := f.client(&cobra.Command{
		Use:   "version",
		Short: "Print the version of this program and of the server",
		Example: `  troupe version
  troupe version --client --json`,
		Args: cobra.NoArgs,
	}, func(ctx context.Context, s *Session, _ []string) error {
		v := versionDocument{Client: s.Program.Version, Go: runtime.Version(), Endpoint: s.endpoint.String()}
		if !clientOnly {
			server, err := s.serverVersion(ctx)
			switch {
			case ctx.Err() != nil:
				return err
			case err != nil:
				v.Unreachable = err.Error()
			default:
				v.Server = server
			}
		}
		return s.Out.Document(v, func(w io.Writer) {
			fmt.Fprintln(w, v.Client)
			switch {
			case v.Server != "":
				fmt.Fprintf(w, "server at %s: %s\n", v.Endpoint, v.Server)
			case v.Unreachable != "":
				fmt.Fprintf(w, "server at %s: not reached\n", v.Endpoint)
			}
		})
	})
	command.Flags().BoolVar(&clientOnly, "client", false, "ask no server")
	return command
}

// serverVersion asks the endpoint who it is.
func (s *Session) serverVersion(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, versionPatience)
	defer cancel()
	c, err := s.connect(s.endpoint)
	if err != nil {
		return "", err
	}
	response, err := c.Send(ctx, &client.Request{
		Op: "version", What: s.endpoint.String(), Method: "GET", Path: "/", Payload: sigv4.Unsigned, Once: true,
	})
	if err != nil {
		return "", err
	}
	name := response.Header.Get("Server")
	if err := response.Body.Close(); err != nil {
		return "", errs.E("version", errs.Offline, err)
	}
	return first(name, "a server that does not say its name"), nil
}
