package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/api/client"
)

// clusterSettingsCommand shows the settings that all nodes share, and holds what is done
// to them.
func clusterSettingsCommand(f *frame) *cobra.Command {
	show := withCluster(f, &cobra.Command{
		Use:   "settings",
		Short: "Show the settings that nodes share; set and unset them",
		Long: `Show the settings that all nodes of a cluster can share. What a node was given itself, by
flag, environment or file, counts there instead; where neither is, the default does.
VALUE is what counts at the node that was asked, OWN what it was given.`,
		Example: "  troupe cluster settings\n  troupe cluster settings set log-level=debug plans=manual\n  troupe cluster settings unset plans",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, s *Session, control client.Control, _ []string) error {
		settings, err := control.ClusterSettings(ctx)
		if err != nil {
			return err
		}
		return tellSettings(s, settings)
	})
	set := withCluster(f, &cobra.Command{
		Use:   "set NAME=VALUE…",
		Short: "Have all nodes share settings",
		Long: `Have all nodes share settings. They follow at once, but for those that were given another
value themselves; no restart is needed.`,
		Example: "  troupe cluster settings set log-level=debug\n  troupe cluster settings set give-up-after=1h plans=manual",
		Args:    cobra.MinimumNArgs(1),
	}, func(ctx context.Context, s *Session, control client.Control, args []string) error {
		change := make(map[string]*string)
		for _, arg := range args {
			name, value, ok := strings.Cut(arg, "=")
			if !ok || name == "" || value == "" {
				return Usage("%q is not NAME=VALUE, for example log-level=debug", arg)
			}
			change[name] = &value
		}
		return changeSettings(ctx, s, control, change)
	})
	unset := withCluster(f, &cobra.Command{
		Use:     "unset NAME…",
		Short:   "Share settings no more: each node follows its own, or the default",
		Example: "  troupe cluster settings unset log-level",
		Args:    cobra.MinimumNArgs(1),
	}, func(ctx context.Context, s *Session, control client.Control, args []string) error {
		change := make(map[string]*string)
		for _, name := range args {
			change[name] = nil
		}
		return changeSettings(ctx, s, control, change)
	})
	show.AddCommand(set, unset)
	return show
}

func changeSettings(ctx context.Context, s *Session, control client.Control, change map[string]*string) error {
	settings, err := control.ChangeClusterSettings(ctx, change)
	if err != nil {
		return err
	}
	return tellSettings(s, settings)
}

func tellSettings(s *Session, settings api.ClusterSettings) error {
	rows := make([][]string, len(settings.Settings))
	for i, setting := range settings.Settings {
		rows[i] = []string{printable(setting.Name), printable(setting.Value), printable(setting.Shared), printable(setting.Own)}
	}
	return s.Out.Table(settings, []string{"NAME", "VALUE", "SHARED", "OWN"}, rows)
}
