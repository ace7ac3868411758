package client

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Cluster asks for the cluster as the node sees it.
func (c Control) Cluster(ctx context.Context) (api.Cluster, error) {
	var answer api.Cluster
	err := c.Get(ctx, api.ClusterPath, nil, &answer)
	return answer, err
}

// Smap asks for the map that the node acts on; errs.NotFound if it has none.
func (c Control) Smap(ctx context.Context) (api.Smap, error) {
	var answer api.Smap
	err := c.Get(ctx, api.SmapPath, nil, &answer)
	return answer, err
}

// RequestCluster has the leader decide on a request. errs.Conflict: it is refused, and
// the error says why.
func (c Control) RequestCluster(ctx context.Context, r api.ClusterRequest) (api.ClusterOutcome, error) {
	var answer api.ClusterOutcome
	err := c.Post(ctx, api.ClusterRequestsPath, nil, r, &answer)
	return answer, err
}

// ClusterSettings asks for the settings that all nodes of a cluster share.
func (c Control) ClusterSettings(ctx context.Context) (api.ClusterSettings, error) {
	var answer api.ClusterSettings
	err := c.Get(ctx, api.ClusterSettingsPath, nil, &answer)
	return answer, err
}

// ChangeClusterSettings changes what all nodes share, and returns it as it is then; nil
// takes a setting out.
func (c Control) ChangeClusterSettings(ctx context.Context, change map[string]*string) (api.ClusterSettings, error) {
	var answer api.ClusterSettings
	err := c.Do(ctx, http.MethodPatch, api.ClusterSettingsPath, nil, change, &answer)
	return answer, err
}

// maxEventBytes bounds a line of events.
const maxEventBytes = 64 << 10

// ClusterEvents tells each of what happens in the cluster, until the context ends, the
// node does (errs.Offline), or each fails.
func (c Control) ClusterEvents(ctx context.Context, each func(api.ClusterEvent) error) error {
	const op errs.Op = "client.ClusterEvents"
	body, err := c.Stream(ctx, api.EventsPath, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxEventBytes)
	for lines.Scan() {
		text, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue // a comment, the name of an event, or the end of one
		}
		var event api.ClusterEvent
		if err := json.Unmarshal([]byte(text), &event); err != nil {
			return errs.E(op, api.EventsPath, errs.Internal, fmt.Errorf("an event is not the JSON that was expected: %w", err))
		}
		if err := each(event); err != nil {
			return err
		}
	}
	err = lines.Err()
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return errs.E(op, api.EventsPath, errs.Offline, err)
}
