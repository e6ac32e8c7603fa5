// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

// attacks returns the attacks of a hostile namespace. Few of them hold requests for long: the kube-apiserver has some
// 55 seats for authenticated senders and as many for others, and a client that occupies all of them can deny service
// without Postern.
func attacks() []*attack {
	return []*attack{
		{name: "largest bodies", workers: 8, perSecond: 4, strike: strikeLargestBody(shapes())},
		{name: "largest objects", workers: 3, perSecond: 2, strike: strikeLargestObject},
		{name: "largest records", workers: 2, perSecond: 2, strike: strikeLargestRecord},
		{name: "worst patterns", workers: 2, perSecond: 1, prepare: createPatterns, strike: strikePattern},
		{name: "wide pushes", workers: 2, perSecond: 0.5, prepare: createWide, strike: strikeWide},
		{name: "one delivery again and again", workers: 4, perSecond: 30, strike: strikeAgain},
		{name: "missing targets", workers: 2, perSecond: 10, strike: strikeMissing},
		{name: "targets that reject writes", workers: 4, perSecond: 20, prepare: createRefusing,
			strike: strikeWatched("refusing")},
		{name: "slow targets", workers: 12, perSecond: 10, prepare: createSlow, strike: strikeWatched("slow")},
		{name: "targets that come and go", workers: 2, perSecond: 4, strike: strikeComeAndGo},
		{name: "wrong signatures", workers: 4, perSecond: 40, strike: strikeWrongly},
		{name: "wrong signatures for the neighbor", workers: 2, perSecond: 20, strike: strikeOtherNamespace},
		{name: "right signatures", workers: 4, perSecond: 20, strike: strikeRightly},
		{name: "slow senders", workers: 12, perSecond: 6, strike: strikeSlowly},
		{name: "slow anonymous senders", workers: 12, perSecond: 6, strike: strikeSlowlyAnonymous},
		{name: "dry runs", workers: 2, perSecond: 5, strike: strikeDryRun},
		{name: "directly to Postern", workers: 4, perSecond: 40, strike: strikeDirectly},
		{name: "lists", workers: 2, perSecond: 1, strike: strikeList},
		{name: "watches", workers: 5, perSecond: 1, strike: strikeWatch},
		{name: "event times in the future", workers: 2, perSecond: 3, strike: strikeAhead},
		{name: "redeliveries", workers: 2, perSecond: 3, strike: strikeRedelivery},
	}
}
