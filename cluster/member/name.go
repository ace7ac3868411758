package member

import (
	"context"
	"errors"
	"fmt"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Resolve returns the id of the cluster of a name. Where there is none, the name becomes
// that of proposed. It asks the provider, until the context ends at most.
func Resolve(ctx context.Context, p cluster.Provider, pace cluster.Pace, name, proposed string) (string, error) {
	const op errs.Op = "member.Resolve"
	store := cluster.NewStore(p, pace)
	var id string
	err := store.Update(ctx, cluster.NameKey(name), func(was cluster.Document) ([]byte, error) {
		if was.Exists() {
			id = string(was.Value)
			return was.Value, errResolved
		}
		id = proposed
		members, _, err := p.Members(ctx, cluster.Query{})
		if err != nil {
			return nil, err
		}
		for _, m := range members { // the provider may have lost the name, and nodes have registered since
			if len(m.Tags) > 0 && m.Tags[0] == name {
				id = m.ClusterID
			}
		}
		return []byte(id), nil
	})
	if err != nil && !errors.Is(err, errResolved) {
		return "", errs.E(op, name, err)
	}
	if _, err := cluster.NewKeys(id); err != nil {
		return "", errs.E(op, name, errs.Corrupt, fmt.Errorf("%s holds %q, which is no id of a cluster", cluster.NameKey(name), id))
	}
	return id, nil
}

// errResolved ends an update that need not write.
var errResolved = errors.New("there is a cluster of that name")
